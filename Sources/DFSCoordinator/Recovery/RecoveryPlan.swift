package import DFSCore
package import DFSMetadata

/// Which copy of the metadata to rebuild a coordinator from, and what that would lose: a value that decides from what
/// the asked datanodes answered.
package struct RecoveryPlan: Sendable {
  /// What one datanode has, and what it has seen.
  package struct Finding: Sendable, Hashable {
    package var address: Endpoint
    package var node: NodeID
    package var cluster: ClusterID
    /// Of the coordinator that wrote its copy last.
    package var epoch: Epoch
    /// The last complete round; `nil` when it has no copy.
    package var mark: RoundMark?
    package var seen: MetadataRestore.Seen

    package init(
      address: Endpoint, node: NodeID, cluster: ClusterID, epoch: Epoch, mark: RoundMark?,
      seen: MetadataRestore.Seen
    ) {
      self.address = address
      self.node = node
      self.cluster = cluster
      self.epoch = epoch
      self.mark = mark
      self.seen = seen
    }
  }

  /// All that answered, in the order they were asked.
  package let findings: [Finding]
  /// Those with a copy, the best first: of the highest incarnation, then with the last round.
  package let choices: [Finding]
  /// The highest that any node has seen: the restored coordinator must be above it.
  package let seen: MetadataRestore.Seen

  /// Throws `.notFound` when nobody has a copy, `.failedPrecondition` when they are of several clusters.
  package init(_ findings: [Finding]) throws {
    self.findings = findings
    let clusters = Set(findings.filter { $0.cluster.rawValue != 0 }.map(\.cluster))
    guard clusters.count <= 1 else {
      let names = clusters.map(\.description).sorted().joined(separator: ", ")
      throw DFSError(
        .failedPrecondition, "these datanodes belong to several clusters (\(names)): name those of one")
    }
    choices = findings.filter { $0.mark != nil }.sorted { Self.order($0) > Self.order($1) }
    guard !choices.isEmpty else {
      throw DFSError(
        .notFound, "none of the \(findings.count) datanodes that answered has a complete copy of the metadata")
    }
    let epoch = findings.map(\.seen.epoch).max() ?? .zero
    let revisions = findings.map(\.seen.revision)
    seen = MetadataRestore.Seen(epoch: epoch, revision: revisions.max() ?? .zero)
  }

  private static func order(_ finding: Finding) -> (UInt16, UInt64, UInt64) {
    (finding.epoch.incarnation, finding.mark?.round ?? 0, finding.mark?.term ?? 0)
  }

  /// What the best copy does not have, as far as anybody has seen it; sentences for a person.
  package func losses(of choice: Finding, revision: Revision) -> [String] {
    var losses: [String] = []
    for finding in findings {
      if finding.seen.epoch.incarnation > choice.epoch.incarnation {
        losses.append(
          "node \(finding.node) has obeyed incarnation \(finding.seen.epoch.incarnation), the copy is of "
            + "\(choice.epoch.incarnation): everything since that restore is lost with this copy")
      } else if finding.seen.epoch.incarnation == choice.epoch.incarnation, finding.seen.revision > revision {
        losses.append(
          "node \(finding.node) has seen revision \(finding.seen.revision), the copy ends at \(revision): "
            + "\(finding.seen.revision.rawValue - revision.rawValue) acknowledged changes or more are lost with it")
      }
    }
    return losses
  }
}
