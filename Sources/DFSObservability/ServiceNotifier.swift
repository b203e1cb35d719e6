import Glibc

/// Tells systemd (or anything that sets `NOTIFY_SOCKET`) that the service is ready, alive or stopping.
///
/// The protocol of sd_notify(3): one datagram of `KEY=value` lines to a local socket. Every send is best
/// effort and never blocks: a service must not fail because nobody listens.
package struct ServiceNotifier: Sendable {
  private let path: String
  /// Half of what the service manager allows, as sd_watchdog_enabled(3) advises; `nil` when it does not
  /// watch.
  package let watchdogInterval: Duration?

  /// `nil` when nobody asked to be notified, or at an address that is no local socket.
  package init?(environment: [String: String], processID: Int32 = getpid()) {
    guard let path = environment["NOTIFY_SOCKET"], path.hasPrefix("/") || path.hasPrefix("@") else {
      return nil
    }
    // The address must fit `sun_path` with its closing NUL.
    guard path.utf8.count < 108, !path.utf8.contains(0) else { return nil }
    self.path = path
    let meant = environment["WATCHDOG_PID"].flatMap { Int32($0) } ?? processID
    let limit = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
    watchdogInterval = meant == processID && limit > 1 ? .microseconds(limit / 2) : nil
  }

  @discardableResult
  package func ready(status: String) -> Bool { send("READY=1\nSTATUS=\(line(status))") }
  @discardableResult
  package func status(_ status: String) -> Bool { send("STATUS=\(line(status))") }
  @discardableResult
  package func stopping() -> Bool { send("STOPPING=1") }
  @discardableResult
  package func watchdog() -> Bool { send("WATCHDOG=1") }

  /// Reports life until cancelled, as long as `isHealthy` says so; a service that hangs is then restarted.
  /// Returns at once when nobody watches.
  package func runWatchdog<C: Clock>(
    clock: C, isHealthy: @Sendable () async -> Bool
  ) async throws where C.Duration == Duration {
    guard let watchdogInterval else { return }
    while true {
      if await isHealthy() { watchdog() }
      try await clock.sleep(for: watchdogInterval)
    }
  }

  private func line(_ text: String) -> String { text.replacing("\n", with: " ") }

  private func send(_ message: String) -> Bool {
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let start = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
    // SAFETY: `init` made sure that the path is shorter than `sun_path`; a leading "@" stands for the NUL of
    // an abstract address.
    withUnsafeMutableBytes(of: &address.sun_path) { field in
      field.copyBytes(from: bytes)
      if bytes[0] == UInt8(ascii: "@") { field[0] = 0 }
    }
    let length = socklen_t(start + bytes.count)
    let text = Array(message.utf8)
    // SAFETY: `address` and `text` live for the whole call, and their lengths are passed with them.
    let sent = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, text, text.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT), $0, length)
      }
    }
    return sent == text.count
  }
}
