import Glibc
import Synchronization
import TestSupport
import Testing

@testable import DFSObservability

/// What systemd holds at the other end of `NOTIFY_SOCKET`.
private final class NotifySocket: Sendable {
  let descriptor: Int32

  init(path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    withUnsafeMutableBytes(of: &address.sun_path) { field in
      field.copyBytes(from: bytes)
      if bytes[0] == UInt8(ascii: "@") { field[0] = 0 }
    }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
    }
    try #require(bound == 0)
  }

  deinit { close(descriptor) }

  func receive() -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
  }
}

struct ServiceNotifierTests {
  @Test func `readiness, status, watchdog and stopping arrive at the socket`() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/notify"
    let socket = try NotifySocket(path: path)
    let notifier = try #require(ServiceNotifier(environment: ["NOTIFY_SOCKET": path]))
    #expect(notifier.ready(status: "serving\n127.0.0.1:7400"))
    #expect(notifier.status("two"))
    #expect(notifier.watchdog())
    #expect(notifier.stopping())
    #expect(socket.receive() == "READY=1\nSTATUS=serving 127.0.0.1:7400")
    #expect(socket.receive() == "STATUS=two")
    #expect(socket.receive() == "WATCHDOG=1")
    #expect(socket.receive() == "STOPPING=1")
    #expect(socket.receive() == nil)
  }

  @Test func `an abstract address works too`() throws {
    let name = "@dfs-test-\(UInt64.random(in: 0...UInt64.max))"
    let socket = try NotifySocket(path: name)
    let notifier = try #require(ServiceNotifier(environment: ["NOTIFY_SOCKET": name]))
    #expect(notifier.ready(status: ""))
    #expect(socket.receive() == "READY=1\nSTATUS=")
  }

  @Test func `without a listener a send fails quietly`() throws {
    let notifier = try #require(ServiceNotifier(environment: ["NOTIFY_SOCKET": "/nowhere/at/all"]))
    #expect(!notifier.ready(status: "x"))
  }

  @Test(arguments: ["", "relative", "vsock:2:1", "/" + String(repeating: "x", count: 107), "/a\0b"])
  func `an address that is no local socket is ignored`(address: String) {
    #expect(ServiceNotifier(environment: ["NOTIFY_SOCKET": address]) == nil)
    #expect(ServiceNotifier(environment: [:]) == nil)
  }

  @Test func `the watchdog's pace is half its limit, and only for the process it names`() throws {
    func interval(_ extra: [String: String]) throws -> Duration? {
      let environment = ["NOTIFY_SOCKET": "/x"].merging(extra) { $1 }
      return try #require(ServiceNotifier(environment: environment, processID: 7)).watchdogInterval
    }
    #expect(try interval(["WATCHDOG_USEC": "3000000"]) == .milliseconds(1500))
    #expect(try interval(["WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"]) == .milliseconds(1500))
    #expect(try interval(["WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"]) == nil)
    #expect(try interval(["WATCHDOG_USEC": "junk"]) == nil)
    #expect(try interval([:]) == nil)
  }

  @Test func `life is reported at each interval, but not while unhealthy`() async throws {
    let name = "@dfs-test-\(UInt64.random(in: 0...UInt64.max))"
    let socket = try NotifySocket(path: name)
    let notifier = try #require(
      ServiceNotifier(environment: ["NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000"]))
    let clock = ManualClock()
    let healthy = Mutex(true)
    let task = Task {
      try await notifier.runWatchdog(clock: clock) { healthy.withLock { $0 } }
    }
    while clock.sleeperCount == 0 { await Task.yield() }
    #expect(socket.receive() == "WATCHDOG=1")
    healthy.withLock { $0 = false }
    clock.advance(by: .seconds(1))
    while clock.sleeperCount == 0 { await Task.yield() }
    #expect(socket.receive() == nil)
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }
}
