import ArgumentParser
import DFSClient
import DFSCore

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show at a glance whether everything is safe, what is being repaired, and what needs a person.",
    discussion: """
      Examples:
        dfsd status
        dfsd status --watch
        dfsd status --json
        dfsd status --check || page-somebody

      Exit status 0 when the cluster answered. With --check it says how it stands:
      0 when everything is safe, \(ExitStatus.atRisk.rawValue) when copies are missing or a person is needed,
      \(ExitStatus.unavailable.rawValue) when some chunks cannot be read or nothing answers.
      """)

  @OptionGroup var client: ClientOptions
  @Flag(help: "Print JSON.") var json = false
  @Flag(help: "Let the exit status say whether everything is safe.") var check = false
  @Flag(help: "Show it again every two seconds, until interrupted.") var watch = false

  func validate() throws {
    if watch, json || check { throw ValidationError("--watch goes with neither --json nor --check") }
  }

  func run() async throws {
    let command = self
    try await client.withClient { client in
      guard command.watch else { return try await command.show(client) }
      while true {
        let report = try await Self.report(client)
        // From the top of a cleared screen.
        if Terminal.isOutputTerminal { Terminal.print("\u{1B}[H\u{1B}[2J", terminator: "") }
        report.lines.forEach { Terminal.print($0) }
        if !Terminal.isOutputTerminal { Terminal.print("") }
        try await Task.sleep(for: .seconds(2))
      }
    }
  }

  private static func report(_ client: DFSClient) async throws -> StatusReport {
    StatusReport(status: try await client.status(), nodes: try await client.nodes(), style: .output)
  }

  private func show(_ client: DFSClient) async throws {
    let report = try await Self.report(client)
    if json {
      try JSONOutput.print(StatusOutput(report.status, report.nodes))
    } else {
      report.lines.forEach { Terminal.print($0) }
    }
    guard check else { return }
    switch report.status.safety {
    case .safe: return
    case .attention, .atRisk: throw ExitStatus.atRisk.exitCode
    case .unreadable: throw ExitStatus.unavailable.exitCode
    }
  }
}
