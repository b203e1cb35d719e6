import DFSCore

@testable import DFSMetadata

/// What a namespace should be, as a dictionary from paths.
struct NamespaceModel {
  enum Node: Equatable {
    case directory
    case inline([UInt8])
    case chunks(Int)
  }

  /// Without `/`.
  private(set) var nodes: [RemotePath: Node] = [:]
  /// What was removed or replaced and not purged since, by deletion; `/` is the thing itself.
  private(set) var trash: [DeletionID: [RemotePath: Node]] = [:]

  var files: Int { nodes.values.count { $0 != .directory } }
  /// In the order of a recursive listing.
  var paths: [RemotePath] { nodes.keys.sorted { $0.components.lexicographicallyPrecedes($1.components) } }

  func node(_ path: RemotePath) -> Node? { path.isRoot ? .directory : nodes[path] }

  /// What is wrong with the way to `path`; `nil` when its parent is a directory.
  private func trouble(_ path: RemotePath) -> DFSError.Code? {
    for depth in 0..<max(0, path.components.count - 1) {
      switch node(RemotePath(components: Array(path.components[...depth]))) {
      case .directory: continue
      case nil: return .notFound
      default: return .failedPrecondition
      }
    }
    return nil
  }

  private func isEmpty(_ directory: RemotePath) -> Bool {
    !nodes.keys.contains { $0 != directory && $0.starts(with: directory) }
  }

  mutating func put(_ path: RemotePath, _ new: Node, ifAbsent: Bool) -> DFSError.Code? {
    if path.isRoot { return .failedPrecondition }
    if let trouble = trouble(path) { return trouble }
    if nodes[path] == .directory { return .failedPrecondition }
    if ifAbsent, nodes[path] != nil { return .alreadyExists }
    nodes[path] = new
    return nil
  }

  mutating func mkdir(_ path: RemotePath, parents: Bool) -> DFSError.Code? {
    if parents {
      let ways = (0..<path.components.count).map { RemotePath(components: Array(path.components[...$0])) }
      for way in ways {
        if let node = nodes[way], node != .directory {
          return way == path ? .alreadyExists : .failedPrecondition
        }
      }
      for way in ways { nodes[way] = .directory }
      return nil
    }
    if path.isRoot { return .alreadyExists }
    if let trouble = trouble(path) { return trouble }
    if nodes[path] != nil { return .alreadyExists }
    nodes[path] = .directory
    return nil
  }

  /// What lies at and below `path`, as it is kept in the trash.
  func subtree(_ path: RemotePath) -> [RemotePath: Node] {
    var tree: [RemotePath: Node] = [:]
    for (below, node) in nodes where below.starts(with: path) {
      tree[RemotePath(components: Array(below.components.dropFirst(path.components.count)))] = node
    }
    return tree
  }

  mutating func discard(_ tree: [RemotePath: Node], as deletion: DeletionID) { trash[deletion] = tree }

  mutating func undelete(_ deletion: DeletionID, to target: RemotePath) -> DFSError.Code? {
    guard let tree = trash[deletion] else { return .notFound }
    if target.isRoot { return .alreadyExists }
    if let trouble = trouble(target) { return trouble }
    if nodes[target] != nil { return .alreadyExists }
    for (path, node) in tree { nodes[RemotePath(components: target.components + path.components)] = node }
    trash[deletion] = nil
    return nil
  }

  /// Whether it was there.
  mutating func purge(_ deletion: DeletionID) -> Bool { trash.removeValue(forKey: deletion) != nil }

  mutating func remove(_ path: RemotePath, tree: Bool) -> DFSError.Code? {
    if path.isRoot { return .invalidArgument }
    if let trouble = trouble(path) { return trouble }
    guard let node = nodes[path] else { return .notFound }
    if node == .directory, !isEmpty(path), !tree { return .failedPrecondition }
    nodes = nodes.filter { !$0.key.starts(with: path) }
    return nil
  }

  mutating func rename(_ source: RemotePath, _ target: RemotePath, replace: Bool) -> DFSError.Code? {
    if let trouble = trouble(source) { return trouble }
    guard let moved = node(source) else { return .notFound }
    if source.isRoot || target.isRoot { return .invalidArgument }
    if let trouble = trouble(target) { return trouble }
    if source == target { return nil }
    if moved == .directory, target.starts(with: source) { return .invalidArgument }
    if let existing = nodes[target] {
      if !replace { return .alreadyExists }
      if (existing == .directory) != (moved == .directory) { return .failedPrecondition }
      if existing == .directory, !isEmpty(target) { return .failedPrecondition }
    }
    nodes[target] = nil
    var after: [RemotePath: Node] = [:]
    for (path, node) in nodes {
      guard path.starts(with: source) else {
        after[path] = node
        continue
      }
      after[RemotePath(components: target.components + path.components.dropFirst(source.components.count))] =
        node
    }
    nodes = after
    return nil
  }
}
