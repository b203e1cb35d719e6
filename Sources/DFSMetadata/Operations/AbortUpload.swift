package import DFSCore

/// Ends an upload without a version; everything allocated to it is condemned, as one record. Aborting an
/// upload that is gone changes nothing and succeeds, unless it was committed: then it is refused.
package struct AbortUpload: Mutation {
  package enum Cause: UInt8, Sendable, Hashable {
    case client = 1
    /// The lease ended. Does nothing when the lease was renewed meanwhile.
    case expired = 2
  }
  package struct Outcome: Sendable, Hashable {
    package var isAborted: Bool
  }

  package var upload: UploadID
  package var cause: Cause

  package init(upload: UploadID, cause: Cause) {
    self.upload = upload
    self.cause = cause
  }
}

extension AbortUpload {
  package static var kind: OperationKind { .abortUpload }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.inode(upload)
    writer.byte(cause.rawValue)
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.byte(outcome.isAborted ? 1 : 0)
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(isAborted: try reader.optional { _ in } != nil)
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    guard let record = try transaction.record(Keys.upload(upload), UploadRecord.self) else {
      guard try transaction.bytes(at: Keys.inode(upload)) == nil else {
        throw DFSError(
          .failedPrecondition, "upload \(upload) was committed: remove the file instead",
          metadata: ["upload": upload.description])
      }
      return Outcome(isAborted: false)
    }
    if cause == .expired, !transaction.context.isLeaseOver(upload) { return Outcome(isAborted: false) }
    try transaction.delete(Keys.upload(upload))
    transaction.note(.leaseEnded(upload))
    transaction.count { $0.openUploads -= min(1, $0.openUploads) }
    if record.allocated > 0 { try transaction.condemn(upload, .upload, pages: record.pages) }
    return Outcome(isAborted: true)
  }
}
