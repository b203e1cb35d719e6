import DFSCore
import DFSKeyValue

/// What a round has read and changed so far, over a store that does not change meanwhile.
///
/// Every written key is known with its value before the round, for the digest and the derived index. The
/// present operation can be undone alone. Names each key once.
struct ChangeSet {
  struct Cell {
    /// In the store.
    let original: [UInt8]?
    var current: [UInt8]?
    var isWritten: Bool
  }

  private let base: any StoreReader
  private var cells: [[UInt8]: Cell] = [:]
  /// Keys in the order of their first write, so that a round makes the same batch each time.
  private var written: [[UInt8]] = []
  private(set) var byteCount = 0
  private var undo: [(key: [UInt8], cell: Cell)] = []

  init(over base: any StoreReader) { self.base = base }

  var operationCount: Int { written.count }

  mutating func value(for key: [UInt8]) throws -> [UInt8]? {
    if let cell = cells[key] { return cell.current }
    let value = try base.value(for: key)
    cells[key] = Cell(original: value, current: value, isWritten: false)
    return value
  }

  mutating func write(_ key: [UInt8], _ value: [UInt8]?) throws {
    if cells[key] == nil { _ = try self.value(for: key) }
    replace(key, by: value)
  }

  /// Writes a key that is known to be absent, which saves reading it.
  mutating func insert(_ key: [UInt8], _ value: [UInt8]) {
    if cells[key] == nil { cells[key] = Cell(original: nil, current: nil, isWritten: false) }
    replace(key, by: value)
  }

  private mutating func replace(_ key: [UInt8], by value: [UInt8]?) {
    guard var cell = cells[key] else { preconditionFailure("a key is read before it is written") }
    undo.append((key, cell))
    if cell.isWritten {
      byteCount -= cell.current?.count ?? 0
    } else {
      written.append(key)
      byteCount += key.count
      cell.isWritten = true
    }
    byteCount += value?.count ?? 0
    cell.current = value
    cells[key] = cell
  }

  /// Starts an operation: what it writes can be undone until the next call.
  mutating func begin() { undo.removeAll(keepingCapacity: true) }
  var hasOperationWritten: Bool { !undo.isEmpty }

  mutating func undoOperation() {
    while let (key, cell) = undo.popLast() {
      byteCount -= cells[key]?.current?.count ?? 0
      if cell.isWritten {
        byteCount += cell.current?.count ?? 0
      } else {
        byteCount -= key.count
        written.removeLast()
      }
      cells[key] = cell
    }
  }

  /// At most `limit` keys with `prefix` and their values, in order, from `start` on.
  func first(_ limit: Int, from start: [UInt8], withPrefix prefix: [UInt8]) throws -> [(
    key: [UInt8], value: [UInt8]
  )] {
    var found: [(key: [UInt8], value: [UInt8])] = []
    var range = KeyRange(prefix: prefix)
    range.start = start
    try base.scan(range) { key, value in
      if found.count == limit { return .stop }
      let key = Array(key)
      if cells[key]?.isWritten != true { found.append((key, Array(value))) }
      return .goOn
    }
    for key in written where key.starts(with: prefix) && !key.lexicographicallyPrecedes(start) {
      if let value = cells[key]?.current { found.append((key, value)) }
    }
    found.sort { $0.key.lexicographicallyPrecedes($1.key) }
    return Array(found.prefix(limit))
  }

  /// Calls `body` with each key that the round changed, and its values before and after.
  func forEachChange(_ body: (_ key: [UInt8], _ old: [UInt8]?, _ new: [UInt8]?) throws -> Void) rethrows {
    for key in written {
      guard let cell = cells[key], cell.original != nil || cell.current != nil else { continue }
      try body(key, cell.original, cell.current)
    }
  }
}
