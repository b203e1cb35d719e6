import ArgumentParser

/// What only an operator needs: a group of commands, one file for each.
struct AdminCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "admin",
    abstract: "Look after a cluster: what only its operator needs.",
    subcommands: [
      NodesCommand.self, CanStopCommand.self, MaintenanceCommand.self, ActivateCommand.self,
      DrainCommand.self, UndrainCommand.self, RemoveCommand.self,
      JobsCommand.self, FsckCommand.self, ScrubCommand.self, RecoverCommand.self,
      ReleaseCommand.self,
    ])
}
