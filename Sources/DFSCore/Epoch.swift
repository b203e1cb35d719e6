/// Fences a coordinator: the incarnation is raised by a restore only, the term by each start or election,
/// in its first transaction. Every order to a datanode carries one; a datanode makes a higher one durable
/// before it acts on it and refuses a lower one.
public struct Epoch: Hashable, Sendable, Comparable, CustomStringConvertible {
  public var incarnation: UInt16
  public var term: UInt64

  public init(incarnation: UInt16, term: UInt64) {
    self.incarnation = incarnation
    self.term = term
  }

  public static let zero = Epoch(incarnation: 0, term: 0)
  public var description: String { "\(incarnation).\(term)" }
  public static func < (left: Self, right: Self) -> Bool {
    (left.incarnation, left.term) < (right.incarnation, right.term)
  }
}

/// The version of one group's membership: raised whenever a slot gets another member or another state.
public struct GroupEpoch: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  /// Below every epoch that a group has.
  public static let zero = GroupEpoch(rawValue: 0)
  public var next: GroupEpoch { GroupEpoch(rawValue: rawValue + 1) }
  public var description: String { String(rawValue) }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
