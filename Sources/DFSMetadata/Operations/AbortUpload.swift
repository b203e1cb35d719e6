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
