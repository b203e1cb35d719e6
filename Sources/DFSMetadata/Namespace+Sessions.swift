package import DFSCore

// Leases and pins: this leader's own memory.

extension Namespace {
  /// Restarts the lease of an open upload in full and answers how long it is. Blocks. Not durable: a new
  /// leader restarts every lease anyway. Throws `.notFound` when the upload is gone.
  package func renewUpload(_ upload: UploadID) throws -> Duration {
    var view = try view()
    _ = try view.openUpload(upload)
    memory.with { contents in
      // Gone in between: its lease has been removed, and must not come back.
      if contents.leases.isKnown(upload) { contents.leases.renew(upload, now: clock.now) }
    }
    return configuration.uploadLease
  }

  /// Keeps the version `inode` from being reaped for `configuration.pinDuration`; again renews. Blocks.
  /// Throws `.notFound` when it is reaped already, `.exhausted` when too many are pinned.
  package func pin(_ inode: InodeID) throws {
    guard try store.value(for: Keys.inode(inode)) != nil else {
      throw DFSError(.notFound, "the version \(inode) is gone", metadata: ["inode": inode.description])
    }
    try memory.with { contents in
      if contents.pins.count >= configuration.pins { contents.pins.trim(now: clock.now) }
      guard contents.pins.count < configuration.pins || contents.pins.isKnown(inode) else {
        throw DFSError(
          .exhausted, "\(configuration.pins) versions are pinned, the most there may be: read later")
      }
      contents.pins.renew(inode, now: clock.now)
    }
  }

  /// Open uploads whose lease has ended, at most `limit`: abort each with cause `.expired`.
  package func expiredUploads(limit: Int) -> [UploadID] {
    memory.with { $0.leases.over(limit: limit, now: clock.now) }
  }
}
