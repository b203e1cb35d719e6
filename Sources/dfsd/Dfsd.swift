import ArgumentParser
import DFSCore
import Foundation

@main
struct Dfsd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dfsd",
    abstract: "A distributed file system in one binary.",
    discussion: """
      Start a cluster on this machine and use it:
        dfsd up                           a coordinator and three datanodes
        dfsd put -r photos /photos        store a directory
        dfsd ls -l /photos                list it
        dfsd stat /photos/cat.jpg         size, hash, and where the copies are
        dfsd get /photos/cat.jpg .        fetch a file, verified
        dfsd rm /photos/cat.jpg           dfsd trash and dfsd undelete bring it back
        tar c . | dfsd put - /backup.tar  store a stream
        dfsd status                       nodes, space, missing copies

      Remote paths are absolute; - is standard input or output.
      The cluster is found by --coordinators, else DFS_COORDINATORS, else
      COORDINATOR_HOST and COORDINATOR_PORT, else the file of --config or
      DFS_CONFIG, else 127.0.0.1:7400.

      dfsd --generate-completion-script bash (or zsh, fish) prints completions.
      A name that begins with a dash goes after --: dfsd put -- -name /x

      Exit status:
      \(ExitStatus.table)
      """,
    version: Version.current,
    groupedSubcommands: [
      CommandGroup(
        name: "Files",
        subcommands: [
          PutCommand.self, GetCommand.self, CatCommand.self, LsCommand.self, StatCommand.self,
          HashCommand.self,
          MkdirCommand.self, MvCommand.self, CpCommand.self, RmCommand.self, TrashCommand.self, UndeleteCommand.self,
          DuCommand.self,
        ]),
      CommandGroup(
        name: "Cluster",
        subcommands: [
          UpCommand.self, CoordinatorCommand.self, DataNodeCommand.self, StatusCommand.self, DfCommand.self,
          HealthCommand.self, AdminCommand.self, BenchCommand.self, CheckConfigCommand.self, VersionCommand.self,
        ]),
    ])

  static func main() async {
    // A reader that goes away shows as an error of the write, which says what happened.
    signal(SIGPIPE, SIG_IGN)
    do {
      try DashedName.refuse(in: CommandLine.arguments.dropFirst())
      var command = try parseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch let error as DFSError where error.metadata["pipe"] == "closed" {
      Terminal.endWithoutReader()
    } catch let error as DFSError {
      Terminal.complain(error)
      Foundation.exit(ExitStatus(error.code).rawValue)
    } catch is CancellationError {
      Foundation.exit(ExitStatus.interrupted.rawValue)
    } catch {
      exit(withError: error)
    }
  }
}
