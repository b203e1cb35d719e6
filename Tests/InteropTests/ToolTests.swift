import DFSCore
import DFSRPC
import DFSTransport
import Foundation
import TestSupport
import Testing

/// Tools that speak HTTP/2 and know nothing of gRPC.
@Suite(.timeLimit(.minutes(2))) struct ToolTests {
  /// Runs a tool to its end; gives what it printed.
  private func run(_ tool: String, _ arguments: [String]) async throws -> [String] {
    let process = try ForeignProcess(tool, arguments)
    process.closeInput()
    try await process.succeed()
    return await process.rest()
  }

  private func serving(_ body: (OurServer) async throws -> Void) async throws {
    let ours = try await OurServer()
    do { try await body(ours) } catch {
      await ours.stop()
      throw error
    }
    await ours.stop()
  }

  @Test func `curl gets a sane answer`() async throws {
    try await serving { ours in
      let address = "http://\(ours.endpoint)/"
      let got = try await run("curl", ["-sS", "-i", "--http2-prior-knowledge", address])
      #expect(got.first?.hasPrefix("HTTP/2 405") == true, "\(got)")
      #expect(got.contains { $0.contains("grpcurl") })
      for _ in 0..<10 {
        let posted = try await run("curl", ["-sS", "-i", "--http2-prior-knowledge", "-d", "{}", address])
        #expect(posted.first?.hasPrefix("HTTP/2 415") == true, "\(posted)")
      }
      let head = try await run("curl", ["-sS", "-I", "--http2-prior-knowledge", address])
      #expect(head.first?.hasPrefix("HTTP/2 405") == true, "\(head)")
      // An HTTP/1.1 client is cut off, and the server goes on.
      let old = try ForeignProcess("curl", ["-sS", "--http1.1", "--max-time", "10", address])
      #expect(await old.status() != 0)
      let again = try await run("curl", ["-sS", "-i", "--http2-prior-knowledge", address])
      #expect(again.first?.hasPrefix("HTTP/2 405") == true)
    }
  }

  @Test func `h2load gets every one of ten thousand calls answered`() async throws {
    try await serving { ours in
      let folder = try TemporaryDirectory("dfs-h2load")
      let message = folder.path + "/request"
      // A message with a payload of 100 bytes: flag, length, field 1, length, bytes.
      let request = Data([0, 0, 0, 0, 102, 0x0A, 100] + [UInt8](repeating: 7, count: 100))
      try request.write(to: URL(fileURLWithPath: message))
      let lines = try await run(
        "h2load",
        [
          "-n", "10000", "-c", "8", "-m", "32", "-d", message, "-H", "content-type: application/grpc", "-H",
          "te: trailers", "http://\(ours.endpoint)/dfs.interop.Echo/Unary",
        ])
      #expect(
        lines.contains {
          $0.hasPrefix(
            "requests: 10000 total, 10000 started, 10000 done, 10000 succeeded, 0 failed, 0 errored")
        }, "\(lines)")
    }
  }
}
