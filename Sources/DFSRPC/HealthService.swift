import DFSCore
import NIOConcurrencyHelpers
import SwiftProtobuf

/// Answers `grpc.health.v1.Health`, the question of load balancers and orchestrators whether to send calls
/// here.
///
/// The server as a whole is the service with the empty name. What was never set is unknown: `Check` answers
/// NOT_FOUND, `Watch` answers SERVICE_UNKNOWN and waits for it to be set. A watcher that reads slowly sees
/// the newest status, not each one. Any thread may call.
package final class HealthService: Sendable {
  package enum Status: Sendable, Hashable { case serving, notServing }

  /// Watchers beyond this are refused with `.exhausted`.
  package static let mostWatchers = 1000

  private struct Watcher {
    let service: String
    let continuation: AsyncStream<Status?>.Continuation
  }

  private struct State {
    var statuses: [String: Status] = [:]
    var watchers: [UInt64: Watcher] = [:]
    var lastWatcher: UInt64 = 0
  }

  private let state = NIOLockedValueBox(State())

  package init() {}

  /// Sets the status of `service`, of the server as a whole when not given, and tells who watches it.
  package func set(_ status: Status, for service: String = "") {
    state.withLockedValue { state in
      guard state.statuses[service] != status else { return }
      state.statuses[service] = status
      for watcher in state.watchers.values where watcher.service == service {
        watcher.continuation.yield(status)
      }
    }
  }

  /// Sets every service to `.notServing`: before a drain, so that callers go elsewhere. Who watches is told and
  /// let go, or the drain would wait for every watcher.
  package func setAllNotServing() {
    for service in state.withLockedValue({ Array($0.statuses.keys) }) { set(.notServing, for: service) }
    for watcher in state.withLockedValue({ Array($0.watchers.values) }) { watcher.continuation.finish() }
  }

  /// The status of `service`, or nothing when it was never set.
  package func status(of service: String = "") -> Status? { state.withLockedValue { $0.statuses[service] } }

  /// Lets `router` serve both methods.
  package func register(in router: inout RPCRouter) {
    router.handle(Self.check) { [self] request, _ in
      guard let status = status(of: request.service) else {
        throw DFSError(
          .notFound, "no service \"\(request.service)\" here", metadata: ["service": request.service])
      }
      return Self.response(status)
    }
    router.handle(Self.watch) { [self] request, writer, _ in
      let (id, changes) = try subscribe(to: request.service)
      defer { unsubscribe(id) }
      for await status in changes { try await writer.write(Self.response(status)) }
    }
  }

  static let check = UnaryMethod<Grpc_Health_V1_HealthCheckRequest, Grpc_Health_V1_HealthCheckResponse>(
    path: "/grpc.health.v1.Health/Check", retry: .whenSafe, request: .small, response: .small)
  static let watch = ServerStreamingMethod<
    Grpc_Health_V1_HealthCheckRequest, Grpc_Health_V1_HealthCheckResponse
  >(
    path: "/grpc.health.v1.Health/Watch", retry: .whenSafe, request: .small, response: .small)

  private static func response(_ status: Status?) -> Grpc_Health_V1_HealthCheckResponse {
    .with {
      $0.status =
        switch status {
        case .serving: .serving
        case .notServing: .notServing
        case nil: .serviceUnknown
        }
    }
  }

  /// The stream begins with the status of the moment.
  private func subscribe(to service: String) throws -> (UInt64, AsyncStream<Status?>) {
    let (stream, continuation) = AsyncStream.makeStream(
      of: Status?.self, bufferingPolicy: .bufferingNewest(1))
    let id: UInt64? = state.withLockedValue { state in
      guard state.watchers.count < Self.mostWatchers else { return nil }
      state.lastWatcher += 1
      state.watchers[state.lastWatcher] = Watcher(service: service, continuation: continuation)
      continuation.yield(state.statuses[service])
      return state.lastWatcher
    }
    guard let id else { throw DFSError(.exhausted, "\(Self.mostWatchers) callers watch the health already") }
    return (id, stream)
  }

  private func unsubscribe(_ id: UInt64) {
    state.withLockedValue { $0.watchers[id] = nil }
  }
}
