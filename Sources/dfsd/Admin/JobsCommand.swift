import ArgumentParser
import DFSClient
import DFSCore

struct JobsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "jobs",
    abstract: "List background jobs with their progress, or pause, resume, hurry and pace them.",
    discussion: """
      Examples:
        dfsd admin jobs                          all, with progress and time left
        dfsd admin jobs --node coordinator       only those of one process
        dfsd admin jobs pause scrub              on every datanode
        dfsd admin jobs resume scrub
        dfsd admin jobs run scrub --node 3f2a    a new pass at once, on one node
        dfsd admin jobs pace repair 50           half as fast as configured

      A pause and a pace last until they are changed or the process restarts.
      """,
    subcommands: [
      ListJobsCommand.self, PauseJobCommand.self, ResumeJobCommand.self, RunJobCommand.self,
      PaceJobCommand.self,
    ],
    defaultSubcommand: ListJobsCommand.self)
}

/// Whose jobs, and how they are printed.
struct JobOptions: ParsableArguments {
  @OptionGroup var client: ClientOptions
  @Option(
    help: ArgumentHelp(
      "Only on this datanode (its id, the beginning of it, or its address), or \"coordinator\".",
      valueName: "node"))
  var node: String?
  @Flag(help: "Print one JSON object with all jobs.") var json = false

  private struct Output: Encodable {
    var jobs: [JobOutput]
    var silentNodes: [String]
  }

  func place(_ client: DFSClient) async throws -> JobPlace {
    guard let node else { return .everywhere }
    if node == "coordinator" { return .coordinator }
    guard let name = NodeName(argument: node) else {
      throw DFSError(.invalidArgument, "--node names a datanode, or \"coordinator\"")
    }
    return .datanode(try await name.find(client).id)
  }

  func control(_ name: String, _ action: JobAction) async throws {
    let options = self
    try await client.withClient { client in
      try options.print(try await client.controlJob(name, action, at: try await options.place(client)))
    }
  }

  func print(_ list: JobList) throws {
    if json {
      return try JSONOutput.print(
        Output(
          jobs: list.jobs.map { JobOutput($0) }, silentNodes: list.silentNodes.map(\.description)))
    }
    JobTable.lines(of: list.jobs).forEach { Terminal.print($0) }
    guard !list.silentNodes.isEmpty else { return }
    let names = list.silentNodes.prefix(10).map(\.description).joined(separator: ", ")
    Terminal.note(
      "dfsd: \(HumanText.count(list.silentNodes.count, "datanode does", "datanodes do")) not answer: \(names)")
  }
}

struct ListJobsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List background jobs (the default).")
  @OptionGroup var options: JobOptions

  func run() async throws {
    let options = options
    try await options.client.withClient { client in
      try options.print(try await client.jobs(try await options.place(client)))
    }
  }
}

struct PauseJobCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pause", abstract: "Let a job take no further step.")
  @OptionGroup var options: JobOptions
  @Argument(help: "The job.") var name: String
  func run() async throws { try await options.control(name, .pause) }
}

struct ResumeJobCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "resume", abstract: "Let a paused job go on.")
  @OptionGroup var options: JobOptions
  @Argument(help: "The job.") var name: String
  func run() async throws { try await options.control(name, .resume) }
}

struct RunJobCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Let a job take its next step, or begin a new pass, at once.")
  @OptionGroup var options: JobOptions
  @Argument(help: "The job.") var name: String
  func run() async throws { try await options.control(name, .run) }
}

struct PaceJobCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pace", abstract: "Let a job work slower or faster than configured.")
  @OptionGroup var options: JobOptions
  @Argument(help: "The job.") var name: String
  @Argument(help: "1 to 10000; 100 is the configured pace.") var percent: Int

  func validate() throws {
    guard JobAction.pacePercents.contains(percent) else {
      throw ValidationError("a pace is a number from 1 to 10000: percent of the configured one")
    }
  }
  func run() async throws { try await options.control(name, .pace(percent: percent)) }
}

/// Background jobs as a table.
enum JobTable {
  static func lines(of jobs: [JobStatus]) -> [String] {
    let rows = jobs.map { job in
      [
        job.name, job.node?.description ?? "coordinator", state(job), progress(job), rate(job),
        job.timeLeft.map { HumanText.duration($0) } ?? "-",
        job.sinceLastStep.map { "\(HumanText.duration($0)) ago" } ?? "-",
        job.lastError.map { "failed: \(HumanText.name($0))" } ?? HumanText.name(job.what),
      ]
    }
    return HumanText.table([["job", "where", "state", "progress", "rate", "left", "last step", ""]] + rows)
  }

  private static func state(_ job: JobStatus) -> String {
    let state = job.isPaused ? "paused" : job.isWorking ? "working" : "waiting"
    return job.pacePercent == 100 ? state : "\(state), pace \(job.pacePercent) %"
  }

  private static func progress(_ job: JobStatus) -> String {
    guard let progress = job.progress else { return "-" }
    if progress.unit == "bytes" {
      let done = ByteCount(Int64(clamping: progress.done))
      return progress.total.map { "\(done) of \(ByteCount(Int64(clamping: $0)))" } ?? "\(done)"
    }
    return "\(progress.done)" + (progress.total.map { " of \($0)" } ?? "") + " \(HumanText.name(progress.unit))"
  }

  private static func rate(_ job: JobStatus) -> String {
    guard job.rate > 0, job.rate.isFinite else { return "-" }
    if job.progress?.unit == "bytes" { return "\(ByteCount(Int64(min(job.rate, 1e18))))/s" }
    return job.rate < 10 ? "\((job.rate * 10).rounded() / 10)/s" : "\(Int64(min(job.rate, 1e18)))/s"
  }
}
