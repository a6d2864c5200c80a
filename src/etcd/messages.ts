/** The messages of etcd's API that are used here (etcd: api/etcdserverpb/rpc.proto, api/mvccpb/kv.proto), and the methods that take them. */
import { enumeration, type Message, type MessageOf, message, one, optional, repeated } from './wire.ts';

export const ResponseHeader = message('ResponseHeader', {
  clusterId: one(1, 'uint64'),
  memberId: one(2, 'uint64'),
  revision: one(3, 'int64'),
  raftTerm: one(4, 'uint64'),
});

export const KeyValue = message('KeyValue', {
  key: one(1, 'bytes'),
  createRevision: one(2, 'int64'),
  modRevision: one(3, 'int64'),
  version: one(4, 'int64'),
  value: one(5, 'bytes'),
  lease: one(6, 'id64'),
});
export type KeyValue = MessageOf<typeof KeyValue>;

export const Event = message('Event', {
  type: one(1, enumeration('PUT', 'DELETE')),
  /** Of a deletion only the key and `modRevision`, the revision of the deletion, mean something. */
  kv: one(2, KeyValue),
  prevKv: optional(3, KeyValue),
});
export type Event = MessageOf<typeof Event>;

export const RangeRequest = message('RangeRequest', {
  key: one(1, 'bytes'),
  rangeEnd: one(2, 'bytes'),
  limit: one(3, 'int64'),
  revision: one(4, 'int64'),
  sortOrder: one(5, enumeration('NONE', 'ASCEND', 'DESCEND')),
  sortTarget: one(6, enumeration('KEY', 'VERSION', 'CREATE', 'MOD', 'VALUE')),
  serializable: one(7, 'bool'),
  keysOnly: one(8, 'bool'),
  countOnly: one(9, 'bool'),
});
export const RangeResponse = message('RangeResponse', {
  header: one(1, ResponseHeader),
  kvs: repeated(2, KeyValue),
  more: one(3, 'bool'),
  count: one(4, 'int64'),
});

export const PutRequest = message('PutRequest', {
  key: one(1, 'bytes'),
  value: one(2, 'bytes'),
  lease: one(3, 'id64'),
  prevKv: one(4, 'bool'),
});
export const PutResponse = message('PutResponse', { header: one(1, ResponseHeader), prevKv: optional(2, KeyValue) });

export const DeleteRangeRequest = message('DeleteRangeRequest', {
  key: one(1, 'bytes'),
  rangeEnd: one(2, 'bytes'),
  prevKv: one(3, 'bool'),
});
export const DeleteRangeResponse = message('DeleteRangeResponse', {
  header: one(1, ResponseHeader),
  deleted: one(2, 'int64'),
  prevKvs: repeated(3, KeyValue),
});

export const Compare = message('Compare', {
  result: one(1, enumeration('EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL')),
  /** which of the four below is compared */
  target: one(2, enumeration('VERSION', 'CREATE', 'MOD', 'VALUE', 'LEASE')),
  key: one(3, 'bytes'),
  version: optional(4, 'int64'),
  createRevision: optional(5, 'int64'),
  modRevision: optional(6, 'int64'),
  value: optional(7, 'bytes'),
  lease: optional(8, 'id64'),
  rangeEnd: one(64, 'bytes'),
});
export const RequestOp = message('RequestOp', {
  requestRange: optional(1, RangeRequest),
  requestPut: optional(2, PutRequest),
  requestDeleteRange: optional(3, DeleteRangeRequest),
});
export const ResponseOp = message('ResponseOp', {
  responseRange: optional(1, RangeResponse),
  responsePut: optional(2, PutResponse),
  responseDeleteRange: optional(3, DeleteRangeResponse),
});
export const TxnRequest = message('TxnRequest', {
  compare: repeated(1, Compare),
  success: repeated(2, RequestOp),
  failure: repeated(3, RequestOp),
});
export const TxnResponse = message('TxnResponse', {
  header: one(1, ResponseHeader),
  succeeded: one(2, 'bool'),
  responses: repeated(3, ResponseOp),
});

export const LeaseGrantRequest = message('LeaseGrantRequest', {
  /** seconds */
  ttl: one(1, 'int64'),
  /** 0: etcd chooses one */
  id: one(2, 'id64'),
});
export const LeaseGrantResponse = message('LeaseGrantResponse', {
  header: one(1, ResponseHeader),
  id: one(2, 'id64'),
  ttl: one(3, 'int64'),
  error: one(4, 'string'),
});
export const LeaseRevokeRequest = message('LeaseRevokeRequest', { id: one(1, 'id64') });
export const LeaseRevokeResponse = message('LeaseRevokeResponse', { header: one(1, ResponseHeader) });

export const WatchCreateRequest = message('WatchCreateRequest', {
  key: one(1, 'bytes'),
  rangeEnd: one(2, 'bytes'),
  startRevision: one(3, 'int64'),
  progressNotify: one(4, 'bool'),
  filters: repeated(5, enumeration('NOPUT', 'NODELETE')),
  prevKv: one(6, 'bool'),
  watchId: one(7, 'int64'),
  fragment: one(8, 'bool'),
});
export const WatchCancelRequest = message('WatchCancelRequest', { watchId: one(1, 'int64') });
export const WatchProgressRequest = message('WatchProgressRequest', {});
export const WatchRequest = message('WatchRequest', {
  createRequest: optional(1, WatchCreateRequest),
  cancelRequest: optional(2, WatchCancelRequest),
  progressRequest: optional(3, WatchProgressRequest),
});
export const WatchResponse = message('WatchResponse', {
  header: one(1, ResponseHeader),
  watchId: one(2, 'int64'),
  created: one(3, 'bool'),
  canceled: one(4, 'bool'),
  compactRevision: one(5, 'int64'),
  cancelReason: one(6, 'string'),
  /** More of the same response follows. */
  fragment: one(7, 'bool'),
  events: repeated(11, Event),
});

export const AuthenticateRequest = message('AuthenticateRequest', { name: one(1, 'string'), password: one(2, 'string') });
export const AuthenticateResponse = message('AuthenticateResponse', { header: one(1, ResponseHeader), token: one(2, 'string') });

export const StatusRequest = message('StatusRequest', {});
export const StatusResponse = message('StatusResponse', {
  header: one(1, ResponseHeader),
  version: one(2, 'string'),
  /** bytes of the file */
  dbSize: one(3, 'int64'),
  leader: one(4, 'uint64'),
  raftIndex: one(5, 'uint64'),
  raftTerm: one(6, 'uint64'),
  raftAppliedIndex: one(7, 'uint64'),
  /** alarms (`NOSPACE`) and the lack of a leader, in words */
  errors: repeated(8, 'string'),
  dbSizeInUse: one(9, 'int64'),
  isLearner: one(10, 'bool'),
  /** bytes; 0 before etcd 3.6 */
  dbSizeQuota: one(12, 'int64'),
});

export interface Method<Request extends Message = Message, Response extends Message = Message> {
  readonly path: string;
  readonly request: Request;
  readonly response: Response;
}

const method = <Request extends Message, Response extends Message>(path: string, request: Request, response: Response) => ({
  path: `/etcdserverpb.${path}`,
  request,
  response,
});

export const METHODS = {
  range: method('KV/Range', RangeRequest, RangeResponse),
  put: method('KV/Put', PutRequest, PutResponse),
  deleteRange: method('KV/DeleteRange', DeleteRangeRequest, DeleteRangeResponse),
  txn: method('KV/Txn', TxnRequest, TxnResponse),
  leaseGrant: method('Lease/LeaseGrant', LeaseGrantRequest, LeaseGrantResponse),
  leaseRevoke: method('Lease/LeaseRevoke', LeaseRevokeRequest, LeaseRevokeResponse),
  status: method('Maintenance/Status', StatusRequest, StatusResponse),
  authenticate: method('Auth/Authenticate', AuthenticateRequest, AuthenticateResponse),
  watch: method('Watch/Watch', WatchRequest, WatchResponse),
} as const satisfies Readonly<Record<string, Method>>;
