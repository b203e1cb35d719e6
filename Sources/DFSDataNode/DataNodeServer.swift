package import DFSChunkStore
package import DFSCore
import DFSCrypto
import DFSRPC
package import DFSTransport
import DFSWire
import Foundation
package import Logging
import NIOConcurrencyHelpers
import ServiceLifecycle

/// A datanode: one data directory, served to clients and peers, and kept in touch with the coordinator.
///
/// `start()` opens and binds, `run()` lives until it is cancelled or its service group stops. A stop is
/// orderly: the coordinator is told, no new transfers are taken, running ones finish within the grace.
/// Nothing that was acknowledged depends on it: after `kill -9` the next start finds every durable chunk.
package final class DataNodeServer: Service {
  /// How a datanode is set up; the defaults are those of `cluster.example.yaml`.
  package struct Configuration: Sendable {
    /// The data directory; formatted on first use.
    package var directory: String
    package var listen: Endpoint
    /// Where others reach it, when that is not where it listens. Port 0 stands for the actual one.
    package var advertise: Endpoint?
    package var coordinators: [Endpoint]
    /// What fails together with it; empty for nothing.
    package var zone = ""
    /// Kept free on the disk.
    package var reserve: ByteCount = .gib(1)
    /// Chunks up to this length share the database.
    package var smallChunkLimit: ByteCount = .kib(256)
    /// Memory for the database's blocks.
    package var cache: ByteCount = .mib(16)
    /// Memory for frames on their way, of all transfers.
    package var transferBudget: ByteCount = .mib(64)
    package var maxTransfers = 128
    /// A member of a transfer that is silent for so long is left behind.
    package var stragglerTimeout: Duration = .milliseconds(2500)
    package var heartbeatInterval: Duration = .seconds(1)
    package var diskThreads = 8
    /// What repair and scrub may read or write in a second; `nil` for all that clients leave.
    package var repairRate: ByteCount?
    /// Every chunk is verified within this time.
    package var scrubPeriod: Duration = .seconds(14 * 86_400)
    /// What running calls get to finish at a stop.
    package var drainGrace: Duration = .seconds(30)
    /// Encryption of what it serves, and of its calls to peers and coordinator; nothing means plain.
    package var serverSecurity: (any ChannelSecurity)?
    package var clientSecurity: (any ChannelSecurity)?
    /// Version of the program, for `status`.
    package var version = "0"

    package init(directory: String, listen: Endpoint, coordinators: [Endpoint]) {
      self.directory = directory
      self.listen = listen
      self.coordinators = coordinators
    }
  }

  private enum Stage {
    case idle
    case started(DataNode)
    case ended
  }

  private let configuration: Configuration
  private let fileSystem: any FileSystem
  private let loops: NetworkLoops
  private let clock: NodeClock
  private let logger: Logger
  private let stage = NIOLockedValueBox(Stage.idle)
  private let (stops, stopRequest) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

  package init(
    _ configuration: Configuration, loops: NetworkLoops, logger: Logger, clock: NodeClock = .continuous,
    fileSystem: any FileSystem = PosixFileSystem()
  ) {
    self.configuration = configuration
    self.loops = loops
    self.logger = logger
    self.clock = clock
    self.fileSystem = fileSystem
  }

  /// Opens the data directory and begins to serve; returns the actual address. Reads are served from now on,
  /// writes once `run` has joined the cluster. Call it at most once; `run` does it when nobody has.
  package func start() async throws -> Endpoint {
    let node = try await DataNode.open(configuration, loops, clock, fileSystem, logger)
    stage.withLockedValue { $0 = .started(node) }
    return node.address
  }

  /// Serves until cancelled, stopped or told to by its service group.
  package func run() async throws {
    if case .idle = stage.withLockedValue({ $0 }) { _ = try await start() }
    guard case .started(let node) = stage.withLockedValue({ $0 }) else {
      throw DFSError(.failedPrecondition, "a datanode runs once")
    }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await node.work() }
      group.addTask {
        await withGracefulShutdownHandler {
          for await _ in self.stops { break }
        } onGracefulShutdown: {
          self.stopRequest.yield()
        }
      }
      // The second returns first: at a stop, or when this task is cancelled.
      await group.next()
      await node.retire(grace: Task.isCancelled ? .zero : configuration.drainGrace)
      group.cancelAll()
    }
    await node.close()
    stage.withLockedValue { $0 = .ended }
  }

  /// Begins an orderly stop; `run` returns when it is done.
  package func stop() { stopRequest.yield() }

  /// Returns true when the node may take writes for the first time, false when it ended before.
  package func joined() async -> Bool { await node?.link.joined() ?? false }

  /// The node's own id, once started.
  package var identity: NodeID? { node?.service.identity.node }

  /// Every background job and how it stands.
  package var jobs: [JobStatus] { node?.jobs.status ?? [] }

  var node: DataNode? {
    if case .started(let node) = stage.withLockedValue({ $0 }) { node } else { nil }
  }
}
