import ArgumentParser
import DFSClient
import DFSCore

struct DrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drain",
    abstract: "Empty a datanode: others get its chunks, and it serves until they have them.",
    discussion: """
      Examples:
        dfsd admin drain 3f2a           returns at once; see "dfsd status"
        dfsd admin drain --wait 3f2a    returns when it can be removed
        dfsd admin undrain 3f2a         changes your mind

      It goes on without this command: an interrupted --wait changes nothing. Where
      no other node may take a chunk (too few nodes, or zones), it stays until one
      can: start another datanode.
      """)

  @OptionGroup var options: NodeActionOptions
  @Flag(help: "Wait until nothing depends on the node.") var wait = false

  func run() async throws {
    guard wait else {
      return try await options.perform(.drain) {
        "node \($0.id) is being emptied; \"dfsd admin nodes\" shows how far it is"
      }
    }
    let (name, json) = (options.node, options.json)
    try await options.client.withClient { client in
      let node = try await name.find(client).id
      try await client.change(node, .drain)
      let emptied = try await Self.untilEmpty(node, client)
      if json { return try JSONOutput.print(NodeOutput(emptied)) }
      Terminal.print("node \(node) is empty: stop it, and \"dfsd admin remove \(node)\"")
    }
  }

  private static func untilEmpty(_ id: NodeID, _ client: DFSClient) async throws -> NodeStatus {
    try await Waiting.until { line in
      guard let node = try await client.nodes().first(where: { $0.id == id }) else {
        throw DFSError(.notFound, "node \(id) is no longer in the cluster")
      }
      guard node.state != .removed else { return node }
      guard node.state == .draining || node.state == .out else {
        throw DFSError(.failedPrecondition, "somebody ended the draining: node \(id) is \(node.state.rawValue)")
      }
      if node.drainChunksLeft == 0 { return node }
      let repair = try await client.status().repair
      line.show("draining \(id)  \(HumanText.count(node.slots, "slot", "slots")) left  \(RepairText.line(repair))")
      return nil
    }
  }
}
