package import DFSCore
package import DFSMetadata
import Synchronization

/// What is known of the copies of the metadata: which nodes are to keep one, and how far each is. Held by the
/// service for `status`; written by those who send.
package final class CopyBoard: Sendable {
  /// How one copy stands.
  package struct Copy: Sendable, Hashable {
    package var node: NodeID
    /// The last round that is durable there.
    package var mark: RoundMark?
    package var lagRounds: UInt64
    /// How long it has been behind; zero when it is not.
    package var lag: Duration
    /// It can be restored from, and goes along.
    package var isComplete: Bool
    /// Why it does not, when that is known.
    package var failure: String?
  }

  private struct Entry: Sendable {
    var mark: RoundMark?
    var isConnected = false
    var failure: String?
    /// When it was up to date last, or began.
    var currentAt: Duration
  }

  private struct State: Sendable {
    var wanted: [NodeID] = []
    var entries: [NodeID: Entry] = [:]
    /// Nodes whose copy was looked at in this process's life: what they have since then is from here.
    var checked: Set<NodeID> = []
    /// Nodes that had no room, and until when they are not asked again.
    var full: [NodeID: Duration] = [:]
  }

  private let namespace: Namespace
  private let state = Mutex(State())

  package init(namespace: Namespace) { self.namespace = namespace }

  package var wanted: [NodeID] { state.withLock { $0.wanted } }
  package func isWanted(_ node: NodeID) -> Bool { state.withLock { $0.wanted.contains(node) } }

  /// Sets the nodes that keep copies; gives those that nobody sends to yet.
  package func want(_ nodes: [NodeID]) -> [NodeID] {
    let now = namespace.elapsed
    return state.withLock { state in
      state.wanted = nodes
      let new = nodes.filter { state.entries[$0] == nil }
      for node in new { state.entries[node] = Entry(currentAt: now) }
      return new
    }
  }

  /// Every copy that is kept, in order of choice.
  package var copies: [Copy] {
    let (now, last) = (namespace.elapsed, namespace.rounds.last)
    let (wanted, entries) = state.withLock { ($0.wanted, $0.entries) }
    return wanted.compactMap { node in
      guard let entry = entries[node] else { return nil }
      let lagRounds = last.round - min(last.round, entry.mark?.round ?? 0)
      let since = lagRounds == 0 ? nil : namespace.rounds.settledAt(after: entry.mark?.round ?? 0)
      let lag: Duration = lagRounds == 0 ? .zero : now - (since ?? entry.currentAt)
      return Copy(
        node: node, mark: entry.mark, lagRounds: lagRounds, lag: max(.zero, lag),
        isComplete: entry.isConnected && entry.mark != nil, failure: entry.failure)
    }
  }

  private static let fullPause = Duration.seconds(60)

  /// Whether the node had no room for a copy a short time ago: another one should have it.
  package func isFull(_ node: NodeID) -> Bool {
    let now = namespace.elapsed
    return state.withLock { $0.full[node].map { now < $0 } ?? false }
  }

  /// Refuses to go on over a copy that is ahead of what this process began with, and that it has not written:
  /// then this metadata went back in time, and the copy is better.
  func check(_ mark: RoundMark?, of node: NodeID) throws {
    let isFirst = state.withLock { !$0.checked.contains(node) }
    guard let mark, isFirst, mark.round >= namespace.startMark.round else {
      return state.withLock { _ = $0.checked.insert(node) }
    }
    throw DFSError(
      .failedPrecondition,
      """
      node \(node) has a copy of the metadata at round \(mark.round), this coordinator began at \
      \(namespace.startMark.round): its metadata went back in time; stop it, and start it on its newest directory \
      or recover it from the datanodes
      """, metadata: ["refusal": "went_backwards"])
  }

  // MARK: Told by senders

  /// The node has this, durable; nothing complete yet when there is no mark.
  func has(_ node: NodeID, _ mark: RoundMark?) {
    let (now, last) = (namespace.elapsed, namespace.rounds.last)
    state.withLock { state in
      state.entries[node]?.mark = mark
      state.entries[node]?.isConnected = true
      guard let mark else { return }
      state.entries[node]?.failure = nil
      state.full[node] = nil
      if mark.round >= last.round { state.entries[node]?.currentAt = now }
    }
  }

  /// Nothing reaches the node for now; tells whether that is news.
  func failed(_ node: NodeID, _ error: DFSError) -> Bool {
    let now = namespace.elapsed
    return state.withLock { state in
      if error.code == .exhausted { state.full[node] = now + Self.fullPause }
      guard var entry = state.entries[node] else { return false }
      defer { state.entries[node] = entry }
      let isNews = entry.failure == nil
      (entry.isConnected, entry.failure) = (false, error.message)
      return isNews
    }
  }

  /// Nobody sends to the node any more. False when it was wanted again meanwhile.
  func ended(_ node: NodeID) -> Bool {
    state.withLock { state in
      guard !state.wanted.contains(node) else { return false }
      state.entries[node] = nil
      return true
    }
  }
}

extension CopyBoard {
  /// Sentences for a person; none when `wanted` copies, as far as there are nodes, are complete and go along.
  func warnings(wanted: Int, nodes: Int) -> [String] {
    guard wanted > 0 else {
      return ["no copy of the metadata is kept on datanodes: the coordinator's disk is its only one"]
    }
    guard nodes > 0 else { return [] }
    let copies = copies
    var warnings: [String] = []
    let complete = copies.filter(\.isComplete)
    if complete.count < min(wanted, nodes) {
      let reason = copies.compactMap(\.failure).first.map { ": \($0)" } ?? ""
      warnings.append(
        "the metadata has \(complete.count) complete copies on datanodes, \(wanted) are wanted\(reason)")
    }
    for copy in complete where copy.lag > .seconds(60) {
      warnings.append(
        "the copy of the metadata on node \(copy.node) is \(copy.lagRounds) rounds and \(copy.lag.components.seconds) s "
          + "behind")
    }
    return warnings
  }
}
