import DFSCore
import DFSKeyValue

/// Walks what is beneath a directory in path order: each directory before what is in it, names in byte order.
/// Holds one page of names for each level, whatever the size of the tree.
struct TreeWalk {
  struct Step {
    /// Beneath the walk's own directory.
    var names: [FileName]
    var entry: EntryRecord
  }

  private struct Level {
    var directory: InodeID
    /// Names before this key are done.
    var start: [UInt8]
    var page: ArraySlice<(name: FileName, entry: EntryRecord)> = []
    var isLastPage = false
  }

  private let reader: any StoreReader
  private let isRecursive: Bool
  private var levels: [Level]
  /// The names that lead to each level but the first.
  private var names: [FileName] = []
  private static let pageSize = 64

  /// Begins after the entry that `cursor` leads to, which need not exist any more.
  init(_ reader: any StoreReader, of directory: InodeID, isRecursive: Bool, after cursor: [FileName]) throws {
    self.reader = reader
    self.isRecursive = isRecursive
    levels = [Level(directory: directory, start: Keys.entries(of: directory))]
    for name in cursor {
      let key = Keys.entry(levels[levels.count - 1].directory, name)
      levels[levels.count - 1].start = key + [0]
      guard isRecursive, let value = try reader.value(for: key) else { break }
      let entry = try EntryRecord(stored: value)
      guard entry.kind == .directory else { break }
      names.append(name)
      levels.append(Level(directory: entry.inode, start: Keys.entries(of: entry.inode)))
    }
  }

  mutating func next() throws -> Step? {
    while let level = levels.indices.last {
      if levels[level].page.isEmpty, !levels[level].isLastPage { try fill(level) }
      guard let (name, entry) = levels[level].page.popFirst() else {
        levels.removeLast()
        if level > 0 { names.removeLast() }
        continue
      }
      let step = Step(names: names + [name], entry: entry)
      if isRecursive, entry.kind == .directory {
        names.append(name)
        levels.append(Level(directory: entry.inode, start: Keys.entries(of: entry.inode)))
      }
      return step
    }
    return nil
  }

  private mutating func fill(_ level: Int) throws {
    let directory = levels[level].directory
    var range = KeyRange(prefix: Keys.entries(of: directory))
    range.start = levels[level].start
    var page: [(name: FileName, entry: EntryRecord)] = []
    try reader.scan(range) { key, value in
      guard page.count < Self.pageSize else { return .stop }
      page.append((try Keys.name(ofEntry: key), try EntryRecord(stored: Array(value))))
      return .goOn
    }
    levels[level].isLastPage = page.count < Self.pageSize
    if let last = page.last { levels[level].start = Keys.entry(directory, last.name) + [0] }
    levels[level].page = page[...]
  }
}
