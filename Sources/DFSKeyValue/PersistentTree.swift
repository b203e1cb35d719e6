import Glibc

/// A sorted map whose every version stays as it was: an AVL tree that copies the path to what it changes.
/// A version is one reference, so a snapshot is free; a change costs O(log n) new nodes.
struct PersistentTree: Sendable {
  final class Node: Sendable {
    let key: [UInt8]
    let value: [UInt8]
    let left: Node?
    let right: Node?
    let height: Int

    init(_ key: [UInt8], _ value: [UInt8], _ left: Node?, _ right: Node?) {
      self.key = key
      self.value = value
      self.left = left
      self.right = right
      height = max(left?.height ?? 0, right?.height ?? 0) + 1
    }
  }

  private(set) var root: Node?

  func value(for key: [UInt8]) -> [UInt8]? {
    var node = root
    while let current = node {
      let order = Self.compare(key, current.key)
      if order == 0 { return current.value }
      node = order < 0 ? current.left : current.right
    }
    return nil
  }

  mutating func put(_ key: [UInt8], _ value: [UInt8]) { root = Self.inserting(key, value, into: root) }
  mutating func delete(_ key: [UInt8]) { root = Self.removing(key, from: root) }

  /// Calls `body` with the entries from `start` to before `end`, in order, until it answers `.stop`.
  func scan(_ range: KeyRange, _ body: (Node) throws -> ScanStep) rethrows {
    var waiting: [Node] = []
    var node = root
    while let current = node {
      if Self.compare(current.key, range.start) >= 0 {
        waiting.append(current)
        node = current.left
      } else {
        node = current.right
      }
    }
    while let current = waiting.popLast() {
      if let end = range.end, Self.compare(current.key, end) >= 0 { return }
      guard try body(current) == .goOn else { return }
      node = current.right
      while let next = node {
        waiting.append(next)
        node = next.left
      }
    }
  }

  /// Byte order; a prefix comes before what it begins.
  static func compare(_ left: [UInt8], _ right: [UInt8]) -> Int {
    // SAFETY: both buffers are at least as long as the shorter count.
    let order = left.withUnsafeBytes { left in
      right.withUnsafeBytes { right -> Int32 in
        guard let first = left.baseAddress, let second = right.baseAddress else { return 0 }
        return memcmp(first, second, min(left.count, right.count))
      }
    }
    return order != 0 ? Int(order) : left.count - right.count
  }

  private static func inserting(_ key: [UInt8], _ value: [UInt8], into node: Node?) -> Node {
    guard let node else { return Node(key, value, nil, nil) }
    let order = compare(key, node.key)
    if order == 0 { return Node(key, value, node.left, node.right) }
    if order < 0 { return balanced(node, inserting(key, value, into: node.left), node.right) }
    return balanced(node, node.left, inserting(key, value, into: node.right))
  }

  private static func removing(_ key: [UInt8], from node: Node?) -> Node? {
    guard let node else { return nil }
    let order = compare(key, node.key)
    if order < 0 { return balanced(node, removing(key, from: node.left), node.right) }
    if order > 0 { return balanced(node, node.left, removing(key, from: node.right)) }
    guard let right = node.right else { return node.left }
    guard node.left != nil else { return right }
    var next = right
    while let smaller = next.left { next = smaller }
    return balanced(next, node.left, removing(next.key, from: right))
  }

  /// A node with `entry`'s key and value over two subtrees whose heights differ by at most two.
  private static func balanced(_ entry: Node, _ left: Node?, _ right: Node?) -> Node {
    let (leftHeight, rightHeight) = (left?.height ?? 0, right?.height ?? 0)
    if leftHeight > rightHeight + 1, let left {
      if (left.left?.height ?? 0) >= (left.right?.height ?? 0) {
        return joined(left, left.left, joined(entry, left.right, right))
      }
      if let inner = left.right {
        return joined(inner, joined(left, left.left, inner.left), joined(entry, inner.right, right))
      }
    }
    if rightHeight > leftHeight + 1, let right {
      if (right.right?.height ?? 0) >= (right.left?.height ?? 0) {
        return joined(right, joined(entry, left, right.left), right.right)
      }
      if let inner = right.left {
        return joined(inner, joined(entry, left, inner.left), joined(right, inner.right, right.right))
      }
    }
    return joined(entry, left, right)
  }

  private static func joined(_ entry: Node, _ left: Node?, _ right: Node?) -> Node {
    Node(entry.key, entry.value, left, right)
  }
}
