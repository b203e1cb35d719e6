import ArgumentParser

/// The group of the benchmarks. It has no options of its own: these would be taken before a subcommand sees them.
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure a cluster, and this machine in the same run.",
    discussion: """
      Examples:
        dfsd bench                   puts, gets and names, of a cluster of its own
        dfsd bench run --help        what can be chosen there
        dfsd bench repair            how a cluster heals
      """,
    subcommands: [BenchRunCommand.self, BenchRepairCommand.self],
    defaultSubcommand: BenchRunCommand.self)
}
