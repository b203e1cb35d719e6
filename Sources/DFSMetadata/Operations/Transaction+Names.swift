import DFSCore

// What several operations do with names.

extension Transaction {
  /// Binds `name` to a new version or directory; what it stood for must have been dealt with.
  mutating func bind(_ name: FileName, in parent: InodeID, to inode: InodeID, _ kind: EntryKind) throws {
    try put(EntryRecord(inode: inode, kind: kind, revision: revision), at: Keys.entry(parent, name))
  }

  mutating func isEmpty(_ directory: InodeID) throws -> Bool {
    let prefix = Keys.entries(of: directory)
    return try changes.first(1, from: prefix, withPrefix: prefix).isEmpty
  }

  /// Whether a write to a name that stands for `existing` may go on. `path` is for the message.
  func check(_ precondition: WritePrecondition, on existing: EntryRecord?, _ path: String) throws {
    if let existing, existing.kind == .directory {
      throw DFSError(.failedPrecondition, "\(path) is a directory", metadata: ["path": path])
    }
    switch precondition {
    case .none: return
    case .ifAbsent:
      if let existing {
        throw DFSError(
          .alreadyExists, "\(path) exists already",
          metadata: ["path": path, "revision": existing.revision.description])
      }
    case .ifRevision(let revision):
      guard existing?.revision == revision else {
        let now = existing?.revision.description ?? "absent"
        throw DFSError(
          .failedPrecondition, "\(path) is not at revision \(revision) any more: it is \(now)",
          metadata: ["path": path, "revision": now])
      }
    }
  }

  /// Throws `.notFound` unless the chain of parents from `directory` reaches the root: one in a removed tree
  /// does not. With `avoiding`, throws `.invalidArgument` when that directory is on the way.
  mutating func checkReachesRoot(_ directory: InodeID, avoiding: InodeID? = nil) throws {
    var inode = directory
    for _ in 0..<Limits.deepestWalk {
      if inode == avoiding {
        throw DFSError(.invalidArgument, "a directory can not be moved beneath itself")
      }
      if inode == .root { return }
      guard case .directory(let record) = try record(Keys.inode(inode), InodeRecord.self),
        let place = record.place
      else { throw DFSError(.notFound, "the directory of the target was removed meanwhile") }
      inode = place.parent
    }
    throw DFSError(
      .failedPrecondition, "the directory is nested deeper than \(Limits.deepestWalk) directories")
  }

  /// Adds a record to what is to be reaped, once the grace time is over.
  mutating func condemn(_ inode: InodeID, _ kind: ReapPage.Kind, pages: UInt32 = 0) throws {
    let notBefore = context.now + context.configuration.reapGrace
    try condemn(inode, CondemnedRecord(kind: kind, pages: pages, revision: revision), notBefore: notBefore)
  }

  mutating func condemn(_ inode: InodeID, _ record: CondemnedRecord, notBefore: ClusterTime) throws {
    var time = notBefore
    // The leftovers of an upload and its version share the inode, and may be condemned in one millisecond.
    while try bytes(at: Keys.condemned(time, inode)) != nil { time = time + .milliseconds(1) }
    try put(record, at: Keys.condemned(time, inode))
    count { $0.condemned += 1 }
  }

  func checkAttributes(_ attributes: FileAttributes) throws {
    func refuse(_ why: String) -> DFSError { DFSError(.invalidArgument, why) }
    guard attributes.mode <= 0o7777 else { throw refuse("the mode has bits beyond 0o7777") }
    guard attributes.owner.utf8.count <= Limits.ownerBytes else {
      throw refuse("the owner is longer than 255 bytes")
    }
    guard attributes.user.count <= Limits.userAttributes else {
      throw refuse("there are more than \(Limits.userAttributes) user attributes")
    }
    let bytes = attributes.user.reduce(0) { $0 + $1.key.utf8.count + $1.value.count }
    guard bytes <= Limits.userAttributeBytes else {
      throw refuse("the user attributes take more than \(Limits.userAttributeBytes) bytes")
    }
    guard !attributes.user.keys.contains("") else { throw refuse("a user attribute has no name") }
  }

  func checkPolicy(_ policy: PlacementPolicy?) throws {
    guard let policy else { return }
    guard (1...Limits.mostReplicas).contains(policy.replicas) else {
      throw DFSError(
        .invalidArgument, "a policy has 1 to \(Limits.mostReplicas) replicas, not \(policy.replicas)")
    }
  }
}
