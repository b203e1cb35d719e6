/// Keeps a cluster from giving up many nodes at once: declaring a node out must not take more than a quarter of
/// the nodes (one may always go where there are three), nor the last node of a configured zone of several. Then
/// it is the network or the power, not the nodes, and a person decides.
///
/// A count over all nodes that is made once and kept as nodes go.
struct StormBrake: Sendable {
  private struct Crowd: Sendable {
    var nodes = 0
    var out = 0
  }

  private var all = Crowd()
  private var zones: [String: Crowd] = [:]

  init(_ members: some Sequence<Member>) {
    for member in members where member.record.state != .removed { count(member) { $0.nodes += 1 } }
    for member in members where member.record.state != .removed && member.life == .out { wentOut(member) }
  }

  /// True when `member`, which is not out, has to stay.
  func holds(against member: Member) -> Bool {
    let allowed = all.nodes >= 3 ? max(1, all.nodes / 4) : 0
    if all.out + 1 > allowed { return true }
    guard let zone = zones[member.record.zone] else { return false }
    return zone.nodes > 1 && zone.out + 1 >= zone.nodes
  }

  mutating func wentOut(_ member: Member) { count(member) { $0.out += 1 } }

  private mutating func count(_ member: Member, _ change: (inout Crowd) -> Void) {
    change(&all)
    if !member.record.zone.isEmpty { change(&zones[member.record.zone, default: Crowd()]) }
  }
}
