import Foundation

/// A network of its own with nothing but loopback, where a test may drop packets. Needs root; gone with the
/// value.
final class NetworkNamespace: Sendable {
  let name = "dfs-\(ProcessInfo.processInfo.processIdentifier)-\(UInt32.random(in: 0...UInt32.max))"

  init() throws {
    try runAsRoot(["ip", "netns", "add", name])
    try runAsRoot(wrapper + ["ip", "link", "set", "lo", "up"])
    // Servers listen above this. A client that tries to reach one that is away could else be given that very
    // port, connect to itself, and keep the server from coming back.
    try runAsRoot(wrapper + ["sh", "-c", "echo 20000 32000 >/proc/sys/net/ipv4/ip_local_port_range"])
  }

  deinit { try? runAsRoot(["ip", "netns", "delete", name]) }

  /// setns(2), which is declared for GNU sources only.
  private static let enter: (@convention(c) (Int32, Int32) -> Int32)? = dlsym(nil, "setns").map {
    unsafeBitCast($0, to: (@convention(c) (Int32, Int32) -> Int32).self)
  }

  /// Runs a command inside.
  var wrapper: [String] { ["/usr/bin/env", "ip", "netns", "exec", name] }

  /// Drops what processes of this user send, to these ports or to everybody; `nil` lets all pass again.
  func cutOff(user: Int?, fromPorts ports: [Int]? = nil) async throws {
    try runAsRoot(wrapper + ["nft", "flush", "ruleset"])
    guard let user else { return }
    let nft = wrapper + ["nft", "add"]
    try runAsRoot(nft + ["table", "inet", "cut"])
    try runAsRoot(
      nft + ["chain", "inet", "cut", "out", "{ type filter hook output priority 0; policy accept; }"])
    var rule = ["rule", "inet", "cut", "out", "meta", "skuid", "\(user)"]
    if let ports { rule += ["tcp", "dport", "{ \(ports.map(String.init).joined(separator: ", ")) }"] }
    try runAsRoot(nft + rule + ["drop"])
  }

  /// Runs `body` on a thread of its own inside. Threads and sockets that it makes stay inside.
  func inside<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    let path = "/run/netns/\(name)"
    return try await withCheckedThrowingContinuation { continuation in
      // Never a thread of a pool: it would take others along.
      Thread.detachNewThread {
        continuation.resume(
          with: Swift.Result {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw POSIXError(.ENOENT) }
            defer { close(descriptor) }
            guard let enter = Self.enter, enter(descriptor, 0) == 0 else { throw POSIXError(.EPERM) }
            return try body()
          })
      }
    }
  }
}

/// Whether this user may make network namespaces, mount images and trace, as the tests of hard failures do.
package var isRoot: Bool { geteuid() == 0 }

/// Runs one of the system's own programs to its end. Throws when it fails.
func runAsRoot(_ command: [String]) throws {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = command.first == "/usr/bin/env" ? Array(command.dropFirst()) : command
  process.environment = ProcessInfo.processInfo.environment.merging([
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"
  ]) { $1 }
  try process.run()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else {
    throw ProgramRun.TimedOut(
      description: "\(command.joined(separator: " ")) ended with \(process.terminationStatus)")
  }
}
