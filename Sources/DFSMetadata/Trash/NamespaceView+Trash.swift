package import DFSCore
import DFSKeyValue

extension NamespaceView {
  /// The next deletions of what was at or below `path`, in order of their expiry. Looks at a bounded number
  /// of records, so a page may be short, or empty, before the last.
  package func trash(
    below path: RemotePath = .root, after previous: DeletionID? = nil, limit: Int = Limits.listEntries
  ) throws -> TrashPage {
    guard (1...Limits.listEntries).contains(limit) else {
      throw DFSError(.invalidArgument, "a page of the trash has 1 to \(Limits.listEntries) entries")
    }
    var page = TrashPage(entries: [], next: nil)
    var seen = 0
    var directories: [InodeID: RemotePath?] = [:]
    var source = self
    try scanTrash(after: previous) { deletion, record in
      seen += 1
      let parent = record.place.parent
      let directory = try directories[parent] ?? source.livingPath(ofDirectory: parent)
      directories[parent] = directory
      let whole = (directory ?? record.directory).appending(record.place.name)
      if whole.starts(with: path) { page.entries.append(TrashEntry(deletion, record, path: whole)) }
      guard page.entries.count < limit, seen < Limits.trashScan else {
        page.next = deletion
        return .stop
      }
      return .goOn
    }
    return page
  }

  /// The next deletions and what each takes on the disks; and where to go on.
  package func trashCosts(
    after previous: DeletionID? = nil, limit: Int
  ) throws -> (costs: [TrashCost], next: DeletionID?) {
    var costs: [TrashCost] = []
    var source = self
    try scanTrash(after: previous) { deletion, record in
      guard costs.count < limit else { return .stop }
      costs.append(TrashCost(deletion: deletion, stored: try source.cost(of: record)))
      return .goOn
    }
    return (costs, costs.count < limit ? nil : costs.last?.deletion)
  }

  private mutating func cost(of record: TrashRecord) throws -> ByteCount? {
    switch record.kind {
    case .tree: return nil
    case .emptyDirectory: return .zero
    case .file:
      let file = try file(record.inode)
      guard file.chunkCount > 0 else { return .zero }
      let (bytes, isTooMuch) = file.size.rawValue.multipliedReportingOverflow(by: Int64(file.policy.replicas))
      return ByteCount(rawValue: isTooMuch ? .max : bytes)
    }
  }

  private func scanTrash(
    after previous: DeletionID?, _ body: (DeletionID, TrashRecord) throws -> ScanStep
  ) throws {
    var range = KeyRange(prefix: Keys.allTrash)
    if let previous { range.start = Keys.trash(previous) + [0] }
    try reader.scan(range) { key, value in
      try body(try Keys.deletion(ofTrash: key), try TrashRecord(stored: Array(value)))
    }
  }
}

extension TrashEntry {
  fileprivate init(_ deletion: DeletionID, _ record: TrashRecord, path: RemotePath) {
    self.init(
      deletion: deletion, path: path, kind: record.entryKind, length: record.length, deleted: record.deleted,
      cause: record.cause, inode: record.inode)
  }
}
