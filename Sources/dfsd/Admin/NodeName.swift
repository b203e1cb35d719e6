import ArgumentParser
import DFSClient
import DFSCore

/// How a person names a datanode: by its id, the beginning of it, or its address.
struct NodeName: ExpressibleByArgument, Sendable {
  let text: String

  init?(argument: String) {
    guard !argument.isEmpty else { return nil }
    text = argument
  }

  static let help: ArgumentHelp = "Its id, the beginning of its id, or its address."

  /// The node that is meant. Throws `.notFound`, and `.invalidArgument` when several may be meant. Removed
  /// nodes count only where no other one is meant.
  func find(among nodes: [NodeStatus]) throws -> NodeStatus {
    let named = nodes.filter { $0.id.description.hasPrefix(text.lowercased()) || $0.address == text }
    if let exact = named.first(where: { $0.id.description == text.lowercased() }) { return exact }
    let present = named.filter { $0.state != .removed }
    let candidates = present.isEmpty ? named : present
    guard let node = candidates.first else {
      throw DFSError(
        .notFound, "no datanode is called \(HumanText.name(text)); \"dfsd admin nodes\" lists them")
    }
    guard candidates.count == 1 else {
      let list = candidates.prefix(5).map { "\($0.id) at \($0.address)" }.joined(separator: ", ")
      throw DFSError(
        .invalidArgument, "\(HumanText.name(text)) may be \(list): write more of the id")
    }
    return node
  }

  func find(_ client: DFSClient) async throws -> NodeStatus { try find(among: try await client.nodes()) }
}
