package import DFSCore

extension NamespaceView {
  /// Counts what is beneath `path`, the path itself with the first step, in bounded steps of `limit` entries:
  /// pass the cursor that came back until there is none. A name that changes between two steps may be counted
  /// twice or not at all.
  package func usage(_ path: RemotePath, after cursor: UsageCursor? = nil, limit: Int) throws -> UsageStep {
    guard limit > 0 else { throw DFSError(.invalidArgument, "a step counts at least one entry") }
    var source = self
    let entry = try source.resolve(path)
    var step = UsageStep()
    if cursor == nil { try add(entry, path, to: &step) }
    guard entry.kind == .directory else { return step }
    var walk = try TreeWalk(reader, of: entry.inode, isRecursive: true, after: cursor?.names ?? [])
    for _ in 0..<limit {
      guard let next = try walk.next() else {
        step.next = nil
        return step
      }
      try add(next.entry, RemotePath(components: path.components + next.names), to: &step)
      step.next = UsageCursor(names: next.names)
    }
    return step
  }

  private func add(_ entry: EntryRecord, _ path: RemotePath, to step: inout UsageStep) throws {
    guard entry.kind == .file else { return step.directories += 1 }
    guard case .file(let file) = try inodeRecord(entry, path) else { return }
    step.files += 1
    step.bytes = step.bytes + file.size
    let copies = file.isInline ? 1 : Int64(file.policy.replicas)
    step.storedBytes = step.storedBytes + ByteCount(rawValue: file.size.rawValue * copies)
  }
}
