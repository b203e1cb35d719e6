package import DFSCore

/// A chunk of one group.
package struct GroupedChunk: Sendable, Hashable {
  package var group: GroupID
  package var chunk: ChunkID

  package init(group: GroupID, chunk: ChunkID) {
    self.group = group
    self.chunk = chunk
  }
}

/// What a check found: the sweep has compared what the nodes have of each group with what the metadata knows.
package struct CheckResult: Sendable, Hashable {
  package typealias Instant = ContinuousClock.Instant

  /// Counts the passes of this coordinator's life from 1, so that a waiter can tell this one from those
  /// before.
  package var number: UInt64
  package var startedAt: Instant
  package var endedAt: Instant
  /// Groups that were compared, and those that were passed over because a member was not in contact; the
  /// sweep comes back to these.
  package var groups = 0
  package var skippedGroups = 0
  /// Living chunks that were compared.
  package var chunks: UInt64 = 0
  /// Living chunks that no member has, and some of them by name.
  package var missing: UInt64 = 0
  package var missingNamed: [GroupedChunk] = []
  /// Full members that lacked a living chunk, and are marked behind now; and the copies that they lacked.
  package var incompleteMembers = 0
  package var lackedCopies: UInt64 = 0
  /// Chunks that nodes have and nothing knows. They are condemned, unless the namespace is held.
  package var orphans: UInt64 = 0
  /// Copies on nodes that are no members, as the last look at the nodes found them; and those that were
  /// removed, because all members have verified copies.
  package var strays: UInt64 = 0
  package var straysRemoved: UInt64 = 0

  /// Most missing chunks that are named.
  package static let mostNamed = 100

  package init(number: UInt64, startedAt: Instant, endedAt: Instant) {
    self.number = number
    self.startedAt = startedAt
    self.endedAt = endedAt
  }

  /// Nothing was found that a person must know of.
  package var isClean: Bool { missing == 0 && skippedGroups == 0 }
}
