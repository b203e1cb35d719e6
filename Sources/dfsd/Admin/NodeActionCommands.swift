import ArgumentParser
import DFSClient
import DFSCore

/// What all commands have that change one node.
struct NodeActionOptions: ParsableArguments {
  @OptionGroup var client: ClientOptions
  @Argument(help: NodeName.help) var node: NodeName
  @Flag(help: "Print the node as a JSON object.") var json = false

  /// Does it, and prints the node as it is then or `note` of it.
  func perform(_ action: NodeAction, note: @escaping @Sendable (NodeStatus) -> String) async throws {
    let (name, json) = (node, json)
    try await client.withClient { client in
      let changed = try await client.change(try await name.find(client).id, action)
      if json { try JSONOutput.print(NodeOutput(changed)) } else { Terminal.print(note(changed)) }
    }
  }
}

struct ActivateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "activate",
    abstract: "Let a datanode take part again: ends draining, maintenance and distrust.",
    discussion: """
      Examples:
        dfsd admin activate 3f2a
        dfsd admin activate 10.0.0.7:7401
      """)

  @OptionGroup var options: NodeActionOptions

  func run() async throws {
    try await options.perform(.activate) { "node \($0.id) takes part: it is \(NodeTable.state($0))" }
  }
}

struct UndrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "undrain",
    abstract: "Stop the emptying of a datanode; the same as activate.",
    discussion: """
      Example:
        dfsd admin undrain 3f2a

      What was moved stays where it is; the node gets new chunks.
      """)

  @OptionGroup var options: NodeActionOptions

  func run() async throws {
    try await options.perform(.activate) { "node \($0.id) takes part: it is \(NodeTable.state($0))" }
  }
}

struct MaintenanceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "maintenance",
    abstract: "Announce that a datanode will be stopped for a while: nothing is repaired for it.",
    discussion: """
      Examples:
        dfsd admin can-stop 3f2a && dfsd admin maintenance 3f2a
        dfsd admin activate 3f2a      when it is back

      While it lasts the node gets no new chunks, and its chunks have one copy less
      in reach when it is stopped.
      """)

  @OptionGroup var options: NodeActionOptions

  func run() async throws {
    try await options.perform(.maintenance) {
      "node \($0.id) is in maintenance: stop it, and \"dfsd admin activate \($0.id)\" when it is back"
    }
  }
}

struct RemoveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove",
    abstract: "Take a datanode out of the cluster for good.",
    discussion: """
      Examples:
        dfsd admin drain --wait 3f2a && dfsd admin remove 3f2a
        dfsd admin remove --force 3f2a    its disk is lost

      Refused while chunks depend on it. A removed node never comes back: started
      with an empty directory it is a new one.
      """)

  @OptionGroup var options: NodeActionOptions
  @Flag(help: "Remove it although some chunks may have no other good copy: they are lost then.")
  var force = false

  func run() async throws {
    try await options.perform(.remove(force ? .forced : .whenUnneeded)) {
      "node \($0.id) was removed; its process can be stopped and its directory deleted"
    }
  }
}
