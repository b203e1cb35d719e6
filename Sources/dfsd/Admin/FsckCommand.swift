import ArgumentParser
import DFSClient
import DFSCore

struct FsckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fsck",
    abstract: "Compare what the datanodes have with what the metadata wants, now.",
    discussion: """
      Examples:
        dfsd admin fsck              begins a check, returns at once
        dfsd admin fsck --wait       and says what it found

      The cluster checks itself once a day; this only hurries it. What lacks copies
      is repaired, what nothing refers to is deleted after its grace.

      Exit status with --wait: 0 when all is well, \(ExitStatus.corrupt.rawValue) when chunks have no copy on any
      node, \(ExitStatus.atRisk.rawValue) when copies are missing or not every group could be looked at.
      """)

  @OptionGroup var client: ClientOptions
  @Flag(help: "Wait for the result.") var wait = false
  @Flag(help: "Print JSON.") var json = false

  /// The job that compares, and the one that looks for copies where none need be.
  static let job = "sweep_groups"
  private static let search = "sweep_strays"

  private struct Begun: Encodable {
    var action = "fsck"
    var job = FsckCommand.job
  }
  private struct Result: Encodable {
    var healthy: Bool
    var check: CheckOutput
    var groupsDegraded: Int
    var chunksAtRisk: UInt64
  }

  func run() async throws {
    let (wait, json) = (wait, json)
    try await client.withClient { client in
      let before = try await client.status().check?.number ?? 0
      do {
        try await client.controlJob(Self.search, .run, at: .coordinator)
      } catch let error as DFSError where error.code == .failedPrecondition {
        // It is paused: what it found last is told.
      }
      try await client.controlJob(Self.job, .run, at: .coordinator)
      guard wait else {
        if json { return try JSONOutput.print(Begun()) }
        return Terminal.print("a check has begun; \"dfsd admin jobs\" shows how far it is, \"dfsd status\" its result")
      }
      let status = try await Self.result(after: before, client)
      guard let check = status.check else { return }
      let isHealthy = check.isClean && status.groupsDegraded == 0
      if json {
        try JSONOutput.print(
          Result(
            healthy: isHealthy, check: CheckOutput(check), groupsDegraded: status.groupsDegraded,
            chunksAtRisk: status.chunksAtRisk))
      } else {
        Self.print(check, status)
      }
      if check.missingChunks > 0 { throw ExitStatus.corrupt.exitCode }
      if !isHealthy { throw ExitStatus.atRisk.exitCode }
    }
  }

  /// The status with the first check that ended after number `before`.
  private static func result(after before: UInt64, _ client: DFSClient) async throws -> ClusterStatus {
    try await Waiting.until { line in
      // The jobs first: what they had found when they were idle is in the status.
      let jobs = try await client.jobs(.coordinator).jobs
      let status = try await client.status()
      let isSearching = jobs.contains { $0.name == Self.search && $0.progress != nil && !$0.isPaused }
      // A coordinator that was restarted meanwhile counts from 1 again.
      if !isSearching, let check = status.check, check.number != before { return status }
      if let job = jobs.first(where: { $0.name == Self.job }) {
        if job.isPaused {
          throw DFSError(
            .failedPrecondition, "the check is paused; \"dfsd admin jobs resume \(Self.job)\" lets it go on")
        }
        if let progress = job.progress {
          let total = progress.total.map { " of \($0)" } ?? ""
          let left = job.timeLeft.map { "  \(HumanText.duration($0)) left" } ?? ""
          line.show("checking  \(progress.done)\(total) \(progress.unit)\(left)")
        }
      }
      return nil
    }
  }

  private static func print(_ check: ClusterStatus.Check, _ status: ClusterStatus) {
    Terminal.print(check.isClean && status.groupsDegraded == 0 ? "all is well" : "not all is well")
    let rows = [
      ["missing", "\(check.missingChunks)", "chunks that no node has"],
      ["degraded", "\(status.groupsDegraded)", "groups of chunks with fewer full members than copies"],
      ["lacking", "\(check.lackedCopies)", "copies that were not where they should be; they are being repaired"],
      ["orphans", "\(check.orphans)", "chunks that nothing refers to; they are deleted after their grace"],
      ["strays", "\(check.strays)", "copies on nodes that need not have them"],
      ["skipped", "\(check.skippedGroups)", "groups that were not looked at, for a node was away"],
    ]
    HumanText.table(rows, right: [1]).forEach { Terminal.print("  \($0)") }
    for chunk in check.missingNamed { Terminal.print("  missing chunk \(HumanText.name(chunk))") }
    if check.missingChunks > UInt64(check.missingNamed.count) { Terminal.print("  and more") }
  }
}

extension ClusterStatus.Check {
  /// Everything was looked at, and nothing was missing.
  fileprivate var isClean: Bool { missingChunks == 0 && lackedCopies == 0 && skippedGroups == 0 }
}
