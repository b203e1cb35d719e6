import TestSupport
import Testing

@testable import DFSRPC

@Suite(.timeLimit(.minutes(1))) struct HealthServiceTests {
  @Test func `who watches is told that the server stops, and let go`() async throws {
    let health = HealthService()
    health.set(.serving)
    var router = RPCRouter()
    health.register(in: &router)
    try await Loopback.run(router: router) { loopback in
      try await loopback.connection.call(HealthService.watch, .init(), options: Loopback.options()) {
        reader in
        let first = try await reader.next()
        #expect(first?.status == .serving)
        health.setAllNotServing()
        let last = try await reader.next()
        #expect(last?.status == .notServing)
        let end = try await reader.next()
        #expect(end == nil)
      }
    }
  }
}
