import DFSCore

/// Whom to write a chunk to: one primary, which forwards to the others.
struct WriteRoute: Sendable, Hashable {
  var primary: NodeID
  var forwards: [NodeID]
}

extension GroupRow {
  /// The members to read a chunk from, best first. Full members that are reachable and not suspected come
  /// before those that may lack the chunk, then the suspected, then those out of contact: a last copy is
  /// worth a try wherever it is. Among equals `spread` decides, so that a file's chunks come from all of
  /// them.
  func readOrder(
    health: PeerHealth, now: PeerHealth.Instant, spread: Int
  ) -> [NodeID] {
    ranked(health, .read, now, spread).map(\.node)
  }

  /// Members that this client believes it can write to now.
  func writable(health: PeerHealth, now: PeerHealth.Instant) -> Int {
    members.count { $0.isReachable && !health.isSuspect($0.node, .write, now: now) }
  }

  func canWrite(health: PeerHealth, now: PeerHealth.Instant) -> Bool {
    writable(health: health, now: now) >= writeQuorum
  }

  /// The primary rotates with `spread`. Members out of contact or suspected take part only where the quorum
  /// needs them: each would hold up the transfer for its timeout. Nothing when fewer members than the quorum
  /// exist.
  func writeRoute(
    health: PeerHealth, now: PeerHealth.Instant, spread: Int
  ) -> WriteRoute? {
    // Any member takes new chunks, whatever it misses of the old ones.
    let all = members.sorted { $0.node < $1.node }
    guard all.count >= writeQuorum else { return nil }
    let good = all.filter { $0.isReachable && !health.isSuspect($0.node, .write, now: now) }
    let doubtful = all.filter { member in !good.contains(member) }
    let missing = max(0, writeQuorum - good.count)
    let chosen =
      rotate(good, by: spread) + doubtful.sorted { $0.isReachable && !$1.isReachable }.prefix(missing)
    guard let primary = chosen.first else { return nil }
    return WriteRoute(primary: primary.node, forwards: chosen.dropFirst().map(\.node))
  }

  private func ranked(
    _ health: PeerHealth, _ purpose: PeerHealth.Purpose, _ now: PeerHealth.Instant, _ spread: Int
  ) -> [Member] {
    func rank(_ member: Member) -> Int {
      var rank = member.state == .full ? 0 : 1
      if health.isSuspect(member.node, purpose, now: now) { rank += 2 }
      if !member.isReachable { rank += 4 }
      return rank
    }
    let rotated = rotate(members.sorted { $0.node < $1.node }, by: spread)
    return rotated.enumerated().sorted { (rank($0.element), $0.offset) < (rank($1.element), $1.offset) }
      .map(\.element)
  }
}

private func rotate<Element>(_ elements: [Element], by spread: Int) -> [Element] {
  guard !elements.isEmpty else { return [] }
  let start = spread % elements.count
  return Array(elements[start...] + elements[..<start])
}
