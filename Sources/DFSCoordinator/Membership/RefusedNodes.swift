import DFSCore

/// Datanodes that were refused lately, for `status`: the node itself says so only in its own log. A refused
/// node tries again every few seconds, so one that was not heard of for a minute has been dealt with. Bounded;
/// a value with injected time.
package struct RefusedNodes: Sendable {
  package typealias Instant = ContinuousClock.Instant

  private struct Refusal: Sendable {
    var reason: String
    var at: Instant
  }
  private static let lifetime = Duration.seconds(60)
  private static let most = 1000

  /// By address: two processes on copies of one directory have one node id.
  private var refusals: [String: Refusal] = [:]

  package init() {}

  package mutating func refused(_ address: String, _ reason: String, now: Instant) {
    refusals = refusals.filter { now - $0.value.at < Self.lifetime }
    guard refusals[address] != nil || refusals.count < Self.most else { return }
    refusals[address] = Refusal(reason: reason, at: now)
  }

  package mutating func accepted(_ address: String) { refusals[address] = nil }

  /// In order of address.
  package func recent(now: Instant) -> [(address: String, reason: String)] {
    refusals.filter { now - $0.value.at < Self.lifetime }.sorted { $0.key < $1.key }
      .map { ($0.key, $0.value.reason) }
  }
}
