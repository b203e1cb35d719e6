package import DFSCore
import Glibc
import Synchronization

/// The ordered store's twin in memory, for tests and for what need not outlive the process. It also plays a
/// crash: `afterCrash()` gives a store with what was synced, without what was only buffered.
package final class MemoryStore: OrderedStore {
  private struct State: Sendable {
    var current = PersistentTree()
    var synced = PersistentTree()
    var closed = false
  }

  private let state: Mutex<State>
  private let fault: (@Sendable (WriteBatch) throws -> Void)?

  /// `fault` is called before each batch is applied; what it throws, `apply` throws, and nothing is applied.
  package init(fault: (@Sendable (WriteBatch) throws -> Void)? = nil) {
    state = Mutex(State())
    self.fault = fault
  }

  private init(_ tree: PersistentTree) {
    state = Mutex(State(current: tree, synced: tree))
    fault = nil
  }

  /// What a process that was killed now would find on its disk.
  package func afterCrash() -> MemoryStore { MemoryStore(state.withLock { $0.synced }) }

  package func withValue<Result>(
    for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result? {
    try MemorySnapshot(tree: tree()).withValue(for: key, body)
  }

  package func scan(
    _ range: KeyRange, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> ScanStep
  ) throws {
    try MemorySnapshot(tree: tree()).scan(range, body)
  }

  package func apply(_ batch: WriteBatch, durability: Durability) throws {
    try fault?(batch)
    try state.withLock { state in
      guard !state.closed else { throw Self.closedError }
      for change in batch.changes {
        switch change {
        case .put(let key, let value): state.current.put(key, value)
        case .delete(let key): state.current.delete(key)
        case .deleteRange(let range):
          var keys: [[UInt8]] = []
          state.current.scan(range) {
            keys.append($0.key); return .goOn
          }
          for key in keys { state.current.delete(key) }
        }
      }
      if durability == .synced { state.synced = state.current }
    }
  }

  package func snapshot(_: ReadTier) -> any StoreReader {
    state.withLock { MemorySnapshot(tree: $0.closed ? nil : $0.current) }
  }

  package func compact(_ range: KeyRange) throws { _ = try tree() }

  package func usedSpace() throws -> ByteCount {
    var bytes = 0
    try tree().scan(KeyRange(from: [], to: nil)) {
      bytes += $0.key.count + $0.value.count; return .goOn
    }
    return ByteCount(bytes)
  }

  package func close() { state.withLock { $0.closed = true } }

  private func tree() throws -> PersistentTree {
    try state.withLock { state in
      guard !state.closed else { throw Self.closedError }
      return state.current
    }
  }

  fileprivate static var closedError: DFSError { DFSError(.unavailable, "the key-value store is closed") }
}

/// The memory store's state at one moment; `nil` when the store was closed then.
private struct MemorySnapshot: StoreReader {
  let tree: PersistentTree?

  func withValue<Result>(
    for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result? {
    guard let tree else { throw MemoryStore.closedError }
    guard let value = tree.value(for: key) else { return nil }
    return try value.withUnsafeBytes(body)
  }

  func scan(
    _ range: KeyRange, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> ScanStep
  ) throws {
    guard let tree else { throw MemoryStore.closedError }
    try tree.scan(range) { node in
      try node.key.withUnsafeBytes { key in try node.value.withUnsafeBytes { try body(key, $0) } }
    }
  }
}

extension MemoryStore {
  private static let dumpName = "memory-store"

  /// Writes one file of length-prefixed keys and values, for `init(checkpoint:)`.
  package func checkpoint(into directory: String) throws {
    let tree = try tree()
    guard mkdir(directory, 0o700) == 0 else {
      let code: DFSError.Code = errno == EEXIST ? .alreadyExists : .unavailable
      throw DFSError(code, "can not create \(directory) for a checkpoint")
    }
    var dump: [UInt8] = []
    tree.scan(KeyRange(from: [], to: nil)) { node in
      for part in [node.key, node.value] {
        withUnsafeBytes(of: UInt32(part.count).littleEndian) { dump.append(contentsOf: $0) }
        dump.append(contentsOf: part)
      }
      return .goOn
    }
    guard let file = fopen("\(directory)/\(Self.dumpName)", "wx") else {
      throw DFSError(.unavailable, "can not write the checkpoint in \(directory)")
    }
    let written = fwrite(dump, 1, dump.count, file)
    guard fclose(file) == 0, written == dump.count else {
      throw DFSError(.exhausted, "can not write the checkpoint in \(directory)")
    }
  }

  /// Opens what `checkpoint(into:)` wrote. Throws `.notFound` or `.corrupt`.
  package convenience init(checkpoint directory: String) throws {
    guard let file = fopen("\(directory)/\(Self.dumpName)", "r") else {
      throw DFSError(.notFound, "\(directory) holds no checkpoint of a memory store")
    }
    defer { fclose(file) }
    func part() throws -> [UInt8]? {
      var length: UInt32 = 0
      let got = fread(&length, 1, 4, file)
      if got == 0 { return nil }
      var bytes = [UInt8](repeating: 0, count: Int(UInt32(littleEndian: length)))
      guard got == 4, fread(&bytes, 1, bytes.count, file) == bytes.count else {
        throw DFSError(.corrupt, "the checkpoint in \(directory) is cut short")
      }
      return bytes
    }
    var tree = PersistentTree()
    while let key = try part() {
      guard let value = try part() else {
        throw DFSError(.corrupt, "the checkpoint in \(directory) is cut short")
      }
      tree.put(key, value)
    }
    self.init(tree)
  }
}
