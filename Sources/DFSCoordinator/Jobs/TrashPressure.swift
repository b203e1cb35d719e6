import DFSCore
import DFSMetadata

/// Which deletions lose their time in the trash because the disks are nearly full: the oldest, as many as
/// bring a tenth of the capacity back.
///
/// Space comes back late, for what is purged has its grace still before it. So what was purged counts as free
/// until its time for that is over, and a tree, of which nobody knows what it takes, is waited for alone.
struct TrashPressure: Sendable {
  typealias Instant = ContinuousClock.Instant

  /// What is to be free, as a part of the capacity.
  static let wantedShare = 10

  private struct Purge {
    /// Nothing for a tree.
    var bytes: ByteCount?
    /// By then its space is back, or will not come.
    var due: Instant
  }
  private var purges: [Purge] = []

  /// How much is missing.
  mutating func missing(of space: ClusterSpace, now: Instant) -> ByteCount {
    purges.removeAll { $0.due <= now }
    guard purges.allSatisfy({ $0.bytes != nil }) else { return .zero }
    let free = purges.reduce(space.free) { $0.addingSaturated($1.bytes ?? .zero) }
    return max(.zero, ByteCount(rawValue: space.capacity.rawValue / Int64(Self.wantedShare)) - free)
  }

  /// The first of `costs`, which are in order of age, that make up for what is missing. What takes nothing on
  /// the disks is left alone.
  func choose(_ costs: [TrashCost], missing: ByteCount) -> [TrashCost] {
    var rest = missing
    var chosen: [TrashCost] = []
    for cost in costs where rest > .zero && cost.stored != .zero {
      chosen.append(cost)
      guard let stored = cost.stored else { break }
      rest = rest - stored
    }
    return chosen
  }

  mutating func purged(_ costs: [TrashCost], due: Instant) {
    purges += costs.map { Purge(bytes: $0.stored, due: due) }
  }
}
