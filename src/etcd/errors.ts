/** The status codes of gRPC that are made or told apart here. etcd answers others as well. */
export const GRPC = {
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** A call that etcd refused or did not answer. After 4 (deadline) and 14 (unavailable) a write may have been done nevertheless. */
export class EtcdError extends Error {
  /** a status code of gRPC */
  readonly code: number;
  /** @param message for the log; never a password or a token */
  constructor(code: number, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** @returns the error itself if it is one already */
export function toEtcdError(error: unknown, code: number = GRPC.unavailable): EtcdError {
  if (error instanceof EtcdError) return error;
  return new EtcdError(code, error instanceof Error ? error.message : String(error), error);
}

/** Whether etcd is there and does not want us: not to be repeated at once. */
export function isRefusal({ code }: EtcdError): boolean {
  return code === GRPC.unauthenticated || code === GRPC.permissionDenied;
}
