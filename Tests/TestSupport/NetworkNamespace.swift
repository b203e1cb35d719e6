import Foundation

/// A network of its own with nothing but loopback, where a test may drop packets. Needs root; gone with the
/// value.
final class NetworkNamespace: Sendable {
  let name = "dfs-\(ProcessInfo.processInfo.processIdentifier)-\(UInt32.random(in: 0...UInt32.max))"

  init() throws {
    try Self.run(["ip", "netns", "add", name])
    try Self.run(wrapper + ["ip", "link", "set", "lo", "up"])
  }

  deinit { try? Self.run(["ip", "netns", "delete", name]) }

  /// Runs a command inside.
  var wrapper: [String] { ["/usr/bin/env", "ip", "netns", "exec", name] }

  func cutOff(user: Int?) async throws {
    try Self.run(wrapper + ["nft", "flush", "ruleset"])
    guard let user else { return }
    try Self.run(wrapper + ["nft", "add", "table", "inet", "cut"])
    try Self.run(
      wrapper + [
        "nft", "add", "chain", "inet", "cut", "out", "{ type filter hook output priority 0; policy accept; }",
      ])
    try Self.run(wrapper + ["nft", "add", "rule", "inet", "cut", "out", "meta", "skuid", "\(user)", "drop"])
  }

  private static func run(_ command: [String]) throws {
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
}

/// Whether this user may make network namespaces, mount images and trace, as the tests of hard failures do.
package var isRoot: Bool { geteuid() == 0 }
