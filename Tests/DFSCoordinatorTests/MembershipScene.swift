import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// A cluster's membership with a clock that the test moves.
struct MembershipScene {
  static let cluster = ClusterID(rawValue: 7)
  let start = ContinuousClock.now
  var now: ContinuousClock.Instant
  var membership: Membership
  var authority = Membership.Authority(
    cluster: cluster, epoch: Epoch(incarnation: 1, term: 5), revision: Revision(rawValue: 100))

  init(records: [ClusterNode] = [], limits: Membership.Limits = Membership.Limits()) {
    now = start
    membership = Membership(records: records, limits: limits, startedAt: start)
  }

  func registration(_ node: UInt64, boot: UInt64 = 1, zone: String = "") -> Registration {
    Registration(
      node: NodeID(rawValue: node), store: StoreID(rawValue: node + 1000), boot: BootID(rawValue: boot),
      cluster: Self.cluster, address: Endpoint(host: "127.0.0.1", port: 8000 + Int(node)), zone: zone,
      capacity: .gib(10))
  }

  @discardableResult
  mutating func register(_ registration: Registration) throws -> [Transition] {
    let record = try membership.admit(registration, authority: authority, newKey: [1])
    return membership.register(registration, record: record, now: now)
  }

  @discardableResult
  mutating func heartbeat(
    _ node: UInt64, boot: UInt64 = 1, chunks: UInt64 = 0, isStopping: Bool = false
  ) throws -> [Transition] {
    try membership.heartbeat(
      NodeReport(
        node: NodeID(rawValue: node), boot: BootID(rawValue: boot), capacity: .gib(10), free: .gib(5),
        chunks: chunks, isStopping: isStopping), now: now)
  }

  /// Moves the clock second by second, the given nodes in contact.
  mutating func pass(_ seconds: Int, beating: [UInt64] = []) throws -> [Transition] {
    var transitions: [Transition] = []
    for _ in 0..<seconds {
      now += .seconds(1)
      for node in beating { transitions += try heartbeat(node) }
      transitions += membership.tick(now: now)
    }
    return transitions
  }

  mutating func foundBad(_ count: Int, of node: UInt64) throws -> Bool {
    membership.foundBad(count, of: NodeID(rawValue: node), now: now)
  }

  mutating func tick() throws -> [Transition] { membership.tick(now: now) }

  func life(_ node: UInt64) -> Member.Life? { membership[NodeID(rawValue: node)]?.life }
}

/// The reason word of the refusal that `body` throws.
func refusal(_ body: () throws -> Void) -> String? {
  do {
    try body()
    return nil
  } catch { return (error as? DFSError)?.metadata["refusal"] }
}
