package import DFSCore
import Synchronization

/// A file system in memory that forgets what was not synced and fails where a test says so.
///
/// Stricter than a disk: a name is durable only after its directory was synced, bytes only after their file
/// was. So what survives `afterCrash()` survives on any file system that keeps POSIX's promises.
package final class MemoryFileSystem: FileSystem {
  /// One call on its way, for the hook that may fail it.
  package struct Call: Sendable {
    package enum Operation: Sendable, Hashable, CaseIterable {
      case makeDirectory, entries, open, length, rename, remove, syncDirectory, lock, space, write, read, sync
    }
    /// Counts every call from 0.
    package var number: Int
    package var operation: Operation
    package var path: String
  }

  package enum Effect: Sendable {
    case proceed
    /// Nothing is done.
    case fail(DFSError)
    /// A write leaves its first half behind, then fails. Other calls do nothing.
    case failHalfway(DFSError)
  }

  enum Node: Sendable {
    case file(bytes: [UInt8], synced: [UInt8])
    case directory(names: [String: Int], synced: [String: Int])
  }

  struct State: Sendable {
    var nodes: [Int: Node] = [0: .directory(names: [:], synced: [:])]
    var nextNode = 1
    var calls = 0
    var locked: Set<String> = []
    var capacity: ByteCount
    var used = 0
  }

  let state: Mutex<State>
  private let hook: Mutex<@Sendable (Call) -> Effect>

  package init(capacity: ByteCount = .gib(1), hook: @escaping @Sendable (Call) -> Effect = { _ in .proceed })
  {
    state = Mutex(State(capacity: capacity))
    self.hook = Mutex(hook)
  }

  /// Replaces the hook that decides about every call.
  package func setHook(_ hook: @escaping @Sendable (Call) -> Effect) { self.hook.withLock { $0 = hook } }

  package func setCapacity(_ capacity: ByteCount) { state.withLock { $0.capacity = capacity } }

  package var calls: Int { state.withLock { $0.calls } }

  /// Counts the call and asks the hook. Answers whether half of a write must be done.
  @discardableResult
  func enter(_ operation: Call.Operation, _ path: String) throws -> DFSError? {
    let number = state.withLock { state in
      defer { state.calls += 1 }
      return state.calls
    }
    let hook = hook.withLock { $0 }
    switch hook(Call(number: number, operation: operation, path: path)) {
    case .proceed: return nil
    case .fail(let error): throw error
    case .failHalfway(let error):
      guard operation == .write else { throw error }
      return error
    }
  }

  package func makeDirectory(_ path: String) throws {
    try enter(.makeDirectory, path)
    try state.withLock { state in
      let (parent, name) = try state.parent(of: path)
      if state.child(name, of: parent) != nil { return }
      state.setChild(name, of: parent, to: state.add(.directory(names: [:], synced: [:])))
    }
  }

  package func entries(of path: String) throws -> [String] {
    try enter(.entries, path)
    return try state.withLock { state in
      guard case .directory(let names, _) = state.nodes[try state.node(path)] else {
        throw State.missing(path)
      }
      return Array(names.keys)
    }
  }

  package func open(_ path: String, _ mode: OpenMode) throws -> any OpenFile {
    try enter(.open, path)
    let node = try state.withLock { state in
      let (parent, name) = try state.parent(of: path)
      let found = state.child(name, of: parent)
      switch mode {
      case .read:
        guard let found else { throw State.missing(path) }
        return found
      case .create:
        guard found == nil else { throw DFSError(.alreadyExists, "\(path) exists") }
        let node = state.add(.file(bytes: [], synced: []))
        state.setChild(name, of: parent, to: node)
        return node
      }
    }
    return MemoryFile(node, path, self)
  }

  package func length(of path: String) throws -> Int? {
    try enter(.length, path)
    return state.withLock { state in
      guard let node = try? state.node(path), case .file(let bytes, _) = state.nodes[node] else { return nil }
      return bytes.count
    }
  }

  package func rename(_ path: String, to target: String, _ replacement: Replacement) throws {
    try enter(.rename, path)
    try state.withLock { state in
      let (parent, name) = try state.parent(of: path)
      let (targetParent, targetName) = try state.parent(of: target)
      guard let node = state.child(name, of: parent) else { throw State.missing(path) }
      if let replaced = state.child(targetName, of: targetParent) {
        guard replacement == .allowed else { throw DFSError(.alreadyExists, "\(target) exists") }
        state.release(replaced)
      }
      state.setChild(name, of: parent, to: nil)
      state.setChild(targetName, of: targetParent, to: node)
    }
  }

  package func remove(_ path: String) throws {
    try enter(.remove, path)
    try state.withLock { state in
      let (parent, name) = try state.parent(of: path)
      guard let node = state.child(name, of: parent) else { throw State.missing(path) }
      state.setChild(name, of: parent, to: nil)
      state.release(node)
    }
  }

  package func syncDirectory(_ path: String) throws {
    try enter(.syncDirectory, path)
    try state.withLock { state in
      let node = try state.node(path)
      guard case .directory(let names, _) = state.nodes[node] else { throw State.missing(path) }
      state.nodes[node] = .directory(names: names, synced: names)
    }
  }

  package func lock(_ path: String) throws -> any FileLock {
    try enter(.lock, path)
    return try state.withLock { state in
      let (parent, name) = try state.parent(of: path)
      if state.child(name, of: parent) == nil {
        state.setChild(name, of: parent, to: state.add(.file(bytes: [], synced: [])))
      }
      guard state.locked.insert(path).inserted else {
        throw DFSError(.unavailable, "another process uses \(path); stop it first")
      }
      return MemoryLock(path, self)
    }
  }

  package func space(at path: String) throws -> FileSystemSpace {
    try enter(.space, path)
    return state.withLock { state in
      FileSystemSpace(capacity: state.capacity, free: max(.zero, state.capacity - ByteCount(state.used)))
    }
  }
}

private final class MemoryLock: FileLock {
  private let path: String
  private let fileSystem: MemoryFileSystem

  init(_ path: String, _ fileSystem: MemoryFileSystem) {
    self.path = path
    self.fileSystem = fileSystem
  }

  deinit { _ = fileSystem.state.withLock { $0.locked.remove(path) } }
}

private final class MemoryFile: OpenFile {
  private let node: Int
  private let path: String
  private let fileSystem: MemoryFileSystem

  init(_ node: Int, _ path: String, _ fileSystem: MemoryFileSystem) {
    self.node = node
    self.path = path
    self.fileSystem = fileSystem
  }

  var descriptor: Int32? { nil }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    let failure = try fileSystem.enter(.write, path)
    let written = UnsafeRawBufferPointer(
      rebasing: failure == nil ? bytes[...] : bytes.prefix(bytes.count / 2))
    try fileSystem.state.withLock { state in
      guard case .file(var content, let synced) = state.nodes[node] else {
        throw MemoryFileSystem.State.missing(path)
      }
      let growth = max(0, offset + written.count - content.count)
      guard ByteCount(state.used + growth) <= state.capacity else {
        throw DFSError(.exhausted, "\(path): the disk is full")
      }
      state.used += growth
      state.nodes[node] = nil
      content.append(contentsOf: [UInt8](repeating: 0, count: growth))
      content.replaceSubrange(offset..<offset + written.count, with: written)
      state.nodes[node] = .file(bytes: content, synced: synced)
    }
    if let failure { throw failure }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int {
    try fileSystem.enter(.read, path)
    return try fileSystem.state.withLock { state in
      guard case .file(let content, _) = state.nodes[node] else { throw MemoryFileSystem.State.missing(path) }
      let count = max(0, min(buffer.count, content.count - offset))
      content.withUnsafeBytes { bytes in
        buffer.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: bytes[min(offset, bytes.count)...].prefix(count)))
      }
      return count
    }
  }

  func length() throws -> Int {
    try fileSystem.enter(.length, path)
    return try fileSystem.state.withLock { state in
      guard case .file(let content, _) = state.nodes[node] else { throw MemoryFileSystem.State.missing(path) }
      return content.count
    }
  }

  func sync() throws {
    try fileSystem.enter(.sync, path)
    try fileSystem.state.withLock { state in
      guard case .file(let content, _) = state.nodes[node] else { throw MemoryFileSystem.State.missing(path) }
      state.nodes[node] = .file(bytes: content, synced: content)
    }
  }

  func startWriteback(_ range: Range<Int>) {}
  func prefetch(_ range: Range<Int>) throws {}
  func dropCached(_ range: Range<Int>) {}
}

extension MemoryFileSystem.State {
  static func missing(_ path: String) -> DFSError { DFSError(.notFound, "\(path) does not exist") }

  mutating func add(_ node: MemoryFileSystem.Node) -> Int {
    defer { nextNode += 1 }
    nodes[nextNode] = node
    return nextNode
  }

  func node(_ path: String) throws -> Int {
    try path.split(separator: "/").reduce(0) { node, name in
      guard let next = child(String(name), of: node) else { throw Self.missing(path) }
      return next
    }
  }

  func parent(of path: String) throws -> (node: Int, name: String) {
    let parts = path.split(separator: "/")
    guard let name = parts.last else { throw Self.missing(path) }
    return (try node(parts.dropLast().joined(separator: "/")), String(name))
  }

  func child(_ name: String, of directory: Int) -> Int? {
    guard case .directory(let names, _) = nodes[directory] else { return nil }
    return names[name]
  }

  mutating func setChild(_ name: String, of directory: Int, to node: Int?) {
    guard case .directory(var names, let synced) = nodes[directory] else { return }
    names[name] = node
    nodes[directory] = .directory(names: names, synced: synced)
  }

  /// Gives back the space of a file that lost its name. Its bytes stay for those who have it open, and for a
  /// crash.
  mutating func release(_ node: Int) {
    if case .file(let bytes, _) = nodes[node] { used -= bytes.count }
  }
}
