package import DFSCore
import DFSKeyValue
import DFSMetadata
import DFSRPC
package import DFSTransport
import DFSWire
package import Logging
import NIOConcurrencyHelpers
import ServiceLifecycle

/// A coordinator: one data directory, served to clients and datanodes.
///
/// `start()` opens and binds, `run()` lives until it is cancelled, stopped, or its namespace can not go on;
/// then it throws why. A stop is orderly: new calls are sent elsewhere, running ones finish within the grace.
/// Nothing acknowledged depends on it: after `kill -9` the next start has it all.
package final class CoordinatorServer: Service {
  private struct Running: Sendable {
    let directory: DataDirectory
    let store: RocksDBStore
    let disk: BlockingThreads
    let coordinator: Coordinator
    let server: RPCServer
  }
  private enum Stage: Sendable {
    case idle
    case starting
    case started(Running)
    case ended
  }

  private let configuration: CoordinatorConfiguration
  private let loops: NetworkLoops
  private let logger: Logger
  private let stage = NIOLockedValueBox(Stage.idle)
  private let (stops, stopRequest) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

  package init(_ configuration: CoordinatorConfiguration, loops: NetworkLoops, logger: Logger) {
    self.configuration = configuration
    self.loops = loops
    self.logger = logger
  }

  /// Opens the data directory, takes leadership and begins to serve; returns the actual addresses. Call it at
  /// most once; `run` does it when nobody has.
  package func start() async throws -> [Endpoint] {
    try stage.withLockedValue { stage in
      guard case .idle = stage else { throw DFSError(.failedPrecondition, "a coordinator starts once") }
      stage = .starting
    }
    do {
      let (running, endpoints) = try await open()
      stage.withLockedValue { $0 = .started(running) }
      return endpoints
    } catch {
      stage.withLockedValue { $0 = .ended }
      throw error
    }
  }

  /// Serves until cancelled, stopped or told to by its service group.
  package func run() async throws {
    if case .idle = stage.withLockedValue({ $0 }) { _ = try await start() }
    guard case .started(let running) = stage.withLockedValue({ $0 }) else {
      throw DFSError(.failedPrecondition, "a coordinator runs once")
    }
    let failure = await serve(running)
    stage.withLockedValue { $0 = .ended }
    if let failure { throw failure }
  }

  /// Begins an orderly stop; `run` returns when it is done.
  package func stop() { stopRequest.yield() }

  /// Every background job and how it stands.
  package var jobs: [JobStatus] {
    if case .started(let running) = stage.withLockedValue({ $0 }) {
      running.coordinator.jobs.status
    } else {
      []
    }
  }

  private func open() async throws -> (Running, [Endpoint]) {
    let (configuration, loops, logger) = (configuration, loops, logger)
    // Before the directory is made: a mistyped port must not leave an empty namespace behind.
    try await RPCServer.check(configuration.server.listen, loops: loops)
    let disk = BlockingThreads(count: configuration.diskThreads, name: "dfs-coordinator")
    do {
      let (directory, store, coordinator) = try await disk.run {
        let directory = try DataDirectory(configuration.data)
        return try Self.advising(directory) {
          let store = try directory.openDatabase(
            RocksDBOptions(cache: RocksDBCache(capacity: configuration.cache)))
          do {
            let ledger = StandaloneLedger(lastRound: try LastRound(path: directory.lastRound))
            try ledger.catchUp(store)
            let unfinished = try StartInspection.run(store, within: configuration.startInspection)
            let coordinator = try Coordinator(
              store: store, ledger: ledger, configuration: configuration, loops: loops, disk: disk,
              logger: logger, unfinished: unfinished)
            return (directory, store, coordinator)
          } catch {
            store.close()
            throw error
          }
        }
      }
      let server = RPCServer(
        router: coordinator.router, configuration: configuration.server, loops: loops, logger: logger)
      let running = Running(
        directory: directory, store: store, disk: disk, coordinator: coordinator, server: server)
      do {
        let endpoints = try await server.start()
        coordinator.health.set(.serving)
        coordinator.health.set(.serving, for: CoordinatorMethods.service)
        logger.info(
          "coordinator serves",
          metadata: [
            "listen": "\(endpoints.map(\.description).joined(separator: ","))",
            "cluster": "\(coordinator.namespace.cluster)", "epoch": "\(coordinator.namespace.epoch)",
          ])
        return (running, endpoints)
      } catch {
        await close(running)
        throw error
      }
    } catch {
      disk.shutdown()
      throw error
    }
  }

  /// Says what to do about a damaged store: it is never served in part.
  private static func advising<Result>(
    _ directory: DataDirectory, _ open: () throws -> Result
  ) throws -> Result {
    do { return try open() } catch var error as DFSError where error.code == .corrupt {
      error.message +=
        "; nothing is served from a damaged store: keep \(directory.path) as it is, and rebuild the metadata "
        + "with dfsd admin recover --from-datanodes, or restore a backup of the whole directory"
      throw error
    }
  }

  /// Runs jobs and server until there is a reason to stop. Gives the reason when it is a failure.
  private func serve(_ running: Running) async -> DFSError? {
    let coordinator = running.coordinator
    return await withTaskGroup(of: DFSError?.self) { group in
      group.addTask {
        await coordinator.jobs.run()
        return nil
      }
      group.addTask {
        await coordinator.copies.run()
        return nil
      }
      group.addTask {
        await withGracefulShutdownHandler {
          for await _ in self.stops { break }
        } onGracefulShutdown: {
          self.stopRequest.yield()
        }
        return nil
      }
      group.addTask { await coordinator.namespace.waitUntilEnded() }
      // Jobs live until cancelled, so what returns first is a stop, a cancellation or the namespace's end.
      let failure = await group.next() ?? nil
      if let failure { logger.error("the namespace can not go on", metadata: ["error": "\(failure)"]) }
      coordinator.health.setAllNotServing()
      coordinator.service.endHeartbeats()
      let grace = failure != nil || Task.isCancelled ? .zero : configuration.drainGrace
      await running.server.drain(grace: grace)
      group.cancelAll()
      await close(running)
      return failure
    }
  }

  private func close(_ running: Running) async {
    await running.coordinator.channels.close()
    await running.coordinator.namespace.close()
    // Waits for reads under way; the store may be closed when nobody reads it.
    running.disk.shutdown()
    running.store.close()
  }
}
