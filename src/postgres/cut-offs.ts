/** What the change log says of a token, as SQL: `t` is a row that has what a cut-off is compared with. */

const CUTS_OFF = 'case when c.issued_before is null then c.seq > t.issued_seq else c.issued_before > t.issued_at end';
/** Whether a cut-off has ended the token of row `t`. */
export const IS_CUT_OFF = `(exists (select from change c where c.kind = 'client' and c.key = t.client_id and ${CUTS_OFF})
  or exists (select from change c where c.kind = 'subject' and c.key = t.subject and ${CUTS_OFF})
  or exists (select from change c where c.kind = 'all' and c.key = '' and ${CUTS_OFF}))`;

/** Whether the token itself was revoked. */
export const IS_REVOKED = `exists (select from change c
  where c.kind = 'token' and c.key = translate(rtrim(encode(t.token_hash, 'base64'), '='), '+/', '-_'))`;
