#!/bin/sh
# Makes the files that docker-compose.prod.yml mounts as secrets. What is there already is kept: remove a file to have it made anew.
#
#   deployment/secrets.sh [folder] [public host name]
#
# The folder is closed to others; the files in it are readable, because each is mounted by itself and read by another user of its container.
set -eu
umask 077
folder=${1:-"$(dirname "$0")/secrets"}
host=${2:-localhost}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

missing() { [ ! -s "$1" ]; }
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

# signed NAME COMMON-NAME USAGE SUBJECT-ALTERNATIVE-NAMES
signed() {
  missing "$1.pem" || return 0
  key "$1.key"
  openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
  printf 'extendedKeyUsage=%s\nsubjectAltName=%s\n' "$3" "$4" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA etcd_ca.pem -CAkey etcd_ca.key -set_serial "0x$(openssl rand -hex 8)" -days 825 \
    -extfile "$1.ext" -out "$1.pem" 2>/dev/null
  rm "$1.csr" "$1.ext"
}

missing encryption_key && openssl rand -base64 32 >encryption_key
missing admin_client_secret && openssl rand -hex 32 >admin_client_secret
missing postgres_password && openssl rand -hex 32 >postgres_password
missing database_url && printf 'postgres://auth:%s@postgres:5432/auth\n' "$(cat postgres_password)" >database_url

# An authority for etcd alone: whoever has a certificate of it may write to etcd.
if missing etcd_ca.pem; then
  key etcd_ca.key
  openssl req -x509 -new -key etcd_ca.key -days 3650 -subj '/CN=auth etcd' -out etcd_ca.pem
fi
signed etcd_member etcd serverAuth,clientAuth DNS:etcd1,DNS:etcd2,DNS:etcd3,DNS:localhost,IP:127.0.0.1
signed etcd_client auth clientAuth DNS:auth

# For a first try. Replace it by a certificate chain and key of your authority, in one file.
if missing tls.pem; then
  key tls.key
  openssl req -x509 -new -key tls.key -days 90 -subj "/CN=$host" -addext "subjectAltName=DNS:$host,DNS:localhost,IP:127.0.0.1" -out tls.pem
  cat tls.key >>tls.pem
  rm tls.key
fi

chmod 444 ./*
chmod 400 etcd_ca.key
