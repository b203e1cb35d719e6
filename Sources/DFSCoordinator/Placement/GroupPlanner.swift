package import DFSCore
package import DFSMetadata

/// Plans the slot table of one policy: which groups to open, who takes over from nodes that are gone or
/// leave, who fills vacant slots, what to move to a node that joined. A plan is a list of changes that the
/// metadata makes all or none, each fenced by an epoch.
///
/// Rules: about 100 slots a node, weighted by capacity; at least 64 groups; the members of a group are
/// different nodes, in different zones wherever the cluster has at least R zones (else as evenly as can be);
/// a slot without an eligible node stays vacant. A slot of a group that has chunks goes to a new node as
/// `filling`, which repair makes full, and
/// - from a node that is out only while another member is full: the last full member stays, for it may
/// return;
/// - from a node that drains only while all other members are full and in contact, where there is somebody to
///   take it, and a bounded number of groups at a time. The only replica of a group gets an heir, and moves
///   when that has everything.
package struct GroupPlanner: Sendable {
  package struct Candidate: Sendable {
    package var node: NodeID
    package var zone: Zone
    package var capacity: ByteCount
    /// Of its disk, which others may fill as well.
    package var free: ByteCount
    /// By its chunks.
    package var stored: ByteCount

    /// An empty disk where nothing is said.
    package init(
      node: NodeID, zone: Zone, capacity: ByteCount, free: ByteCount? = nil, stored: ByteCount = .zero
    ) {
      self.node = node
      self.zone = zone
      self.capacity = capacity
      self.free = free ?? capacity
      self.stored = stored
    }
  }

  package struct Rules: Sendable {
    package var slotsPerNode = 100
    package var fewestGroups = 64
    package var mostGroups = 100_000
    /// Groups that may be filling while another one is drained.
    package var movesAtOnce = 32
    /// Groups that may change hands at a time while fuller nodes give to emptier ones.
    package var levelsAtOnce = 8

    package init() {}
  }

  /// Why a node's slots are to go to others.
  package enum Leaving: Sendable, Hashable {
    /// An operator empties it; it serves meanwhile.
    case draining
    /// Out of contact for too long; it may return.
    case out
    /// Gone for good.
    case removed
  }

  package let rules: Rules
  package let policy: PlacementPolicy
  /// Who may be given slots, in order of id.
  package let candidates: [Candidate]
  /// Zones of every node of the cluster by id, eligible or not.
  package let zones: [NodeID: Zone]
  /// Nodes that are to lose their slots.
  package let leaving: [NodeID: Leaving]
  /// Nodes that serve reads now.
  package let inContact: Set<NodeID>
  /// Groups without a chunk and without an allocation.
  package let isEmpty: @Sendable (GroupID) -> Bool

  package init(
    policy: PlacementPolicy, candidates: [Candidate], zones: [NodeID: Zone], rules: Rules = Rules(),
    leaving: [NodeID: Leaving] = [:], inContact: Set<NodeID> = [],
    isEmpty: @escaping @Sendable (GroupID) -> Bool
  ) {
    self.leaving = leaving
    self.inContact = inContact
    self.policy = policy
    self.candidates = candidates.sorted { $0.node < $1.node }
    self.zones = zones
    self.rules = rules
    self.isEmpty = isEmpty
  }

  var replicas: Int { Int(policy.replicas) }
  /// Where it holds, two slots of a group are never in one zone.
  var isStrict: Bool { Set(zones.values).count >= replicas }

  /// Throws `.failedPrecondition` with advice where the cluster has fewer nodes than a write needs.
  package func plan(
    _ table: SlotTable, using random: inout some RandomNumberGenerator
  ) throws -> [ChangeGroups.Change] {
    let existing = table.groups(replicas: policy.replicas).compactMap { table[$0] }
    var draft = Draft(planner: self, groups: existing)
    draft.replaceGone(using: &random)
    guard candidates.count >= policy.writeQuorum else {
      guard existing.isEmpty else { return draft.changes }
      throw tooFewNodes()
    }
    draft.fillVacant(using: &random)
    draft.moveDraining(using: &random)
    draft.levelEmptyGroups(using: &random)
    let wanted = min(
      max(rules.fewestGroups, rules.slotsPerNode * candidates.count / replicas),
      max(0, rules.mostGroups - table.count) + existing.count)
    draft.open(upTo: wanted, firstID: table.nextID, using: &random)
    return draft.changes
  }

  /// Who is to take over the groups of one replica that a draining node has: those that were chosen before,
  /// where they still can, and others up to `movesAtOnce`. A group whose only member is behind has one too: a
  /// suspect node is given nothing any more, so it never becomes full again.
  package func heirs(
    _ table: SlotTable, before: [GroupID: NodeID], using random: inout some RandomNumberGenerator
  ) -> [GroupID: NodeID] {
    guard replicas == 1, leaving.values.contains(.draining) else { return [:] }
    let rows = table.groups(replicas: 1).compactMap { table[$0] }.filter { row in
      guard let slot = row.slots.first, slot.state == .full || slot.state == .behind, let node = slot.node
      else { return false }
      return leaving[node] == .draining && inContact.contains(node) && !isEmpty(row.id)
    }
    let able = Set(candidates.map(\.node))
    var heirs = before.filter { heir in able.contains(heir.value) && rows.contains { $0.id == heir.key } }
    let draft = Draft(planner: self, groups: table.groups(replicas: 1).compactMap { table[$0] })
    var loads = draft.loads
    for node in heirs.values { if let place = draft.places[node] { loads[place] += 1 } }
    for row in rows where heirs[row.id] == nil && heirs.count < rules.movesAtOnce {
      let places = candidates.indices.shuffled(using: &random)
      guard
        let place = places.min(by: {
          Double(loads[$0]) / draft.weights[$0] < Double(loads[$1]) / draft.weights[$1]
        })
      else { break }
      heirs[row.id] = candidates[place].node
      loads[place] += 1
    }
    return heirs
  }

  private func tooFewNodes() -> DFSError {
    let (have, need) = (candidates.count, policy.writeQuorum)
    let nodes = have == 1 ? "1 datanode is" : "\(have) datanodes are"
    let advice =
      have == 0
      ? "start datanodes" : "start \(need - have) more, or ask for fewer replicas (at most \(2 * have - 1))"
    return DFSError(
      .failedPrecondition,
      "\(replicas) replicas need at least \(need) datanodes and \(nodes) ready; \(advice)",
      metadata: ["nodes": "\(have)", "needed": "\(need)", "refusal": "too_few_nodes"])
  }
}
