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

      Checks for every role what that role checks when it starts.
      """)

  @Argument(help: "The file; else the one of DFS_CONFIG.", completion: .file()) var file: String?
  @Flag(help: "Print JSON.") var json = false

  private struct Output: Encodable {
    struct Remark: Encodable {
      var key: String
      var reason: String
      var origin: String?
    }
    /// Absent when no file was read.
    var file: String?
    var valid: Bool
    var problems: [Remark]
    var warnings: [Remark]
  }

  func run() throws {
    let sources = try SettingSources.process(configuration: file)
    let report = Settings.check(for: .everything, sources)
    if json {
      func remarks(_ problems: [SettingProblem]) -> [Output.Remark] {
        problems.map { Output.Remark(key: $0.key, reason: $0.reason, origin: $0.origin) }
      }
      try JSONOutput.print(
        Output(
          file: sources.file?.name, valid: report.problems.isEmpty, problems: remarks(report.problems),
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
    if json { return }
    if let file = sources.file {
      Terminal.print("\(file.name) is valid, and so is the environment")
    } else {
      Terminal.print(
        "no configuration file was read, for none is named and DFS_CONFIG is not set; the environment is valid")
    }
  }
}
