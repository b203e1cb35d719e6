import DFSCore
import DFSObservability
import DFSWire
import Logging
import Metrics
import NIOConcurrencyHelpers

/// All transfers that run on this node: bounds their number and their memory, and looks at the clock for
/// them.
final class TransferBoard: Sendable {
  struct Limits: Sendable {
    var transfers = 128
    /// What all transfers together may hold of frames on their way, as long as there are no more of them than fit into
    /// it with a MiB each: one frame any of them must be able to hold, or two nodes could wait for each other.
    var frames: ByteCount = .mib(64)
    /// What one may hold at most.
    var window: ByteCount = .mib(4)
  }

  private struct State {
    var running: [ObjectIdentifier: Transfer] = [:]
    var isClosed = false
    /// Nodes that were dropped for their silence, until when that is held against them.
    var suspects: [NodeID: ContinuousClock.Instant] = [:]
  }

  /// About the time until the coordinator has noticed, too.
  private static let suspicion: Duration = .seconds(10)

  /// Often enough for the patience of `TransferState`, and for signs of life.
  static let tick: Duration = .milliseconds(250)

  private let limits: Limits
  private let clock: NodeClock
  private let logger: Logger
  private let state = NIOLockedValueBox(State())
  private let open = Gauge(label: MetricNames.datanodeTransfersOpen)
  private let stragglers = Counter(label: MetricNames.datanodeStragglersTotal)

  init(limits: Limits, clock: NodeClock, logger: Logger) {
    self.limits = limits
    self.clock = clock
    self.logger = logger
  }

  var count: Int { state.withLockedValue { $0.running.count } }

  /// What one transfer may hold now: its part of the budget, one frame at least.
  var window: Int {
    min(limits.window.int, max(ChunkPiece.largestPayload, limits.frames.int / max(1, count)))
  }

  /// Throws `.unavailable` while the node stops and `.exhausted` when it has as many transfers as it may.
  func begin(_ make: (_ suspects: Set<NodeID>) -> Transfer) throws -> Transfer {
    let now = clock.now()
    let transfer = try state.withLockedValue { state in
      guard !state.isClosed else {
        throw DFSError(.unavailable, "this node is stopping; write to another one")
      }
      guard state.running.count < limits.transfers else {
        throw DFSError(.exhausted, "\(limits.transfers) transfers run on this node; write to another one")
      }
      if !state.suspects.isEmpty { state.suspects = state.suspects.filter { $0.value > now } }
      let transfer = make(Set(state.suspects.keys))
      state.running[ObjectIdentifier(transfer)] = transfer
      return transfer
    }
    open.record(count)
    return transfer
  }

  func remove(_ transfer: Transfer) {
    state.withLockedValue { $0.running[ObjectIdentifier(transfer)] = nil }
    open.record(count)
  }

  /// `node` has finished a transfer: it lives.
  func acquit(_ node: NodeID) { state.withLockedValue { $0.suspects[node] = nil } }

  /// Takes no more transfers.
  func close() { state.withLockedValue { $0.isClosed = true } }

  /// Looks after the transfers until cancelled.
  func run() async throws {
    while true {
      try await clock.sleep(Self.tick)
      for transfer in state.withLockedValue({ Array($0.running.values) }) {
        for node in transfer.tick() {
          stragglers.increment()
          let until = clock.now().advanced(by: Self.suspicion)
          state.withLockedValue { $0.suspects[node] = until }
          logger.warning(
            "a member of a transfer was dropped: too slow",
            metadata: ["chunk": "\(transfer.chunk)", "node": "\(node)"])
        }
      }
    }
  }
}
