import ArgumentParser
import DFSConfig
import DFSCore

struct CheckConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check-config",
    abstract: "Check a configuration, and tell everything that is wrong with it at once.",
    discussion: """
      Example:
        dfsd check-config cluster.example.yaml
      """)

  @Argument(help: "The file; else the one of DFS_CONFIG.", completion: .file()) var file: String?
  @Flag(help: "Print JSON.") var json = false

  private struct Output: Encodable {
    struct Remark: Encodable {
      var key: String
      var reason: String
      var origin: String?
    }
    var valid: Bool
    var problems: [Remark]
    var warnings: [Remark]
  }

  func run() throws {
    let report = Settings.check(for: .everything, try .process(configuration: file))
    if json {
      func remarks(_ problems: [SettingProblem]) -> [Output.Remark] {
        problems.map { Output.Remark(key: $0.key, reason: $0.reason, origin: $0.origin) }
      }
      try JSONOutput.print(
        Output(
          valid: report.problems.isEmpty, problems: remarks(report.problems),
          warnings: remarks(report.warnings)))
    } else {
      for warning in report.warnings { Terminal.print("warning: \(warning)") }
      for problem in report.problems { Terminal.print("error: \(problem)") }
    }
    guard report.problems.isEmpty else {
      throw DFSError(
        .invalidArgument, "the configuration has \(HumanText.count(report.problems.count, "error", "errors"))"
      )
    }
    if !json { Terminal.print("the configuration is valid") }
  }
}
