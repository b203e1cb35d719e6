import Foundation
import TestSupport
import Testing

@Suite struct `Under a service manager` {
  @Test func `a server says when it is ready, that it lives, and when it stops`() async throws {
    let directory = try TemporaryDirectory("dfs-notify")
    let listener = try NotifyListener(at: directory.path + "/notify")
    let log = directory.path + "/log"
    let port = try freePorts(1)[0]
    let server = try StartedProgram(
      ProcessCluster.program,
      ["coordinator", "--listen", "127.0.0.1:\(port)", "--data", directory.path + "/data"],
      environment: ["NOTIFY_SOCKET": directory.path + "/notify", "WATCHDOG_USEC": "400000"], output: log,
      errors: log)
    let ready = try listener.receive()
    #expect(ready.hasPrefix("READY=1"))
    #expect(ready.contains("127.0.0.1:\(port)"))
    #expect(try listener.receive() == "WATCHDOG=1")
    #expect(try listener.receive() == "WATCHDOG=1")
    server.signal(SIGTERM)
    var last = ""
    while last != "STOPPING=1" { last = try listener.receive() }
    #expect(try await server.exit(within: .seconds(40)) == 0)
  }

  @Test func `a server that is asked to stop while it still opens its data ends at once, as asked`()
    async throws
  {
    let directory = try TemporaryDirectory("dfs-opening")
    // Reading a pipe that nobody writes to takes for ever, as opening a large store may seem to.
    #expect(mkfifo(directory.path + "/identity", 0o600) == 0)
    let log = directory.path + "/log"
    let server = try StartedProgram(
      ProcessCluster.program,
      ["datanode", "--listen", "127.0.0.1:0", "--data", directory.path, "--coordinators", "127.0.0.1:9"],
      output: log, errors: log)
    try await server.waitUntilHandling(SIGTERM)
    server.signal(SIGTERM)
    #expect(try await server.exit(within: .seconds(20)) == 0)
  }
}

/// The receiving end of sd_notify(3).
private final class NotifyListener: Sendable {
  private let descriptor: Int32

  init(at path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) {
      $0.copyBytes(from: Array(path.utf8).prefix($0.count - 1))
    }
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    var limit = timeval(tv_sec: 30, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    guard bound == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
  }

  deinit { close(descriptor) }

  /// The next message; throws when none comes for 30 s.
  func receive() throws -> String {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    guard count > 0 else { throw POSIXError(.ETIMEDOUT) }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }
}
