import DFSCore

/// Who delivers, when two replicas are asked for the same bytes: the first that answers, until it fails or is
/// given up.
///
/// Bytes are given on once, so an attempt says before each piece that it is about to deliver, and an attempt
/// that delivers just now is never given up: whoever is given up has been told so before it could touch the
/// target, and may be cancelled at any moment.
struct ReadRace: Sendable {
  /// The attempt that delivers; the other one stops.
  private(set) var winner: NodeID?
  private var givenUp: Set<NodeID> = []
  private var isDelivering = false
  /// Of the chunk's blocks; empty until a replica has sent them.
  private(set) var leaves: [Digest] = []
  /// Verified and given on up to here.
  private(set) var offset: Int

  init(offset: Int) { self.offset = offset }

  /// Starts the next pair of attempts.
  mutating func begin() {
    winner = nil
    givenUp = []
    isDelivering = false
  }

  /// True when `node`, which has answered, is the one to deliver.
  mutating func claim(_ node: NodeID, leaves: [Digest]) -> Bool {
    guard winner == nil, !givenUp.contains(node) else { return false }
    winner = node
    self.leaves = leaves
    return true
  }

  /// True when `node` may give the piece on that it has received.
  mutating func startDelivery(by node: NodeID) -> Bool {
    guard winner == node, !givenUp.contains(node) else { return false }
    isDelivering = true
    return true
  }

  mutating func delivered(to offset: Int) {
    self.offset = offset
    isDelivering = false
  }

  /// Gives those of the `silent` up that do not deliver at this moment after all, and answers them.
  mutating func giveUp(_ silent: [NodeID]) -> [NodeID] {
    let gone = silent.filter { !(isDelivering && winner == $0) }
    givenUp.formUnion(gone)
    return gone
  }
}
