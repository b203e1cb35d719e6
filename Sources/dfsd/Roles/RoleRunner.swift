import DFSCore
import DFSObservability
import DFSTransport
import Foundation
import Logging
import ServiceLifecycle

/// Runs services until SIGTERM or SIGINT asks for an orderly stop, and tells systemd how things stand.
struct RoleRunner: Sendable {
  let logger: Logger
  /// Whose turns prove to the watchdog that the process is alive.
  let loops: NetworkLoops

  /// To be called before anything is opened: until `run` listens for signals, being asked to stop ends the
  /// process at once and as a success. Opening a store may take long, and what lies on disk is used to an end at
  /// any instruction. Without a handler the status would tell of a failure, and as process 1 of a container the
  /// kernel would drop the signal.
  static func endWhenAsked() {
    for number in [SIGTERM, SIGINT] { signal(number) { _ in _exit(0) } }
  }

  /// Stops the services in reverse order: the first is there the longest. `announce` runs beside them, and
  /// what it returns is what `systemctl status` shows.
  func run(_ services: [any Service], announce: @escaping @Sendable () async throws -> String) async throws {
    let notifier = ServiceNotifier(environment: ProcessInfo.processInfo.environment)
    let group = ServiceGroup(
      configuration: .init(
        services: services.map { service in
          .init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)
        }, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    try await withThrowingTaskGroup(of: Bool.self) { tasks in
      defer { tasks.cancelAll() }
      tasks.addTask {
        try await group.run()
        notifier?.stopping()
        return true
      }
      tasks.addTask {
        let status = try await announce()
        notifier?.ready(status: status)
        try await notifier?.runWatchdog(clock: .continuous) {
          await loops.waitForTurn()
          return true
        }
        return false
      }
      while let isOver = try await tasks.next() {
        if isOver { return }
      }
    }
  }
}
