package import DFSJobs
package import DFSMetadata
package import Logging

/// Aborts uploads whose lease has ended: what they wrote is condemned as one record each.
package struct ExpireUploads: Job {
  package let name = "expire_uploads"
  package let what = "Gives up uploads whose client went away."
  private static let batch = 100
  private let namespace: Namespace
  private let logger: Logger

  package init(namespace: Namespace, logger: Logger) {
    self.namespace = namespace
    self.logger = logger
  }

  package func step() async throws -> Pace {
    let expired = namespace.expiredUploads(limit: Self.batch)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for upload in expired {
        group.addTask { _ = try await namespace.mutate(AbortUpload(upload: upload, cause: .expired)) }
      }
      try await group.waitForAll()
    }
    if !expired.isEmpty { logger.info("uploads expired", metadata: ["count": "\(expired.count)"]) }
    return expired.count == Self.batch ? .atOnce : .after(.seconds(1))
  }
}
