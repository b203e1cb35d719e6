package import DFSCore
import DFSMetadata

extension GroupPlanner {
  /// A slot of a group that is to go from one node to another.
  package struct Move: Sendable, Hashable {
    package var from: NodeID
    package var to: NodeID

    package init(from: NodeID, to: NodeID) {
      self.from = from
      self.to = to
    }
  }

  /// Rows that are looked at for one plan.
  private static let mostRows = 2000

  /// Which slots of groups with chunks go from fuller nodes to emptier ones, so that a node that joined, or came
  /// back after its slots were given away, gets its share: the moves of `before` that still make sense, and
  /// others up to `levelsAtOnce`. None for groups of one replica, which have nobody else to read from while
  /// they change hands. The caller sees to it that nothing is at risk.
  ///
  /// A move is worth its copies only while the nodes are further apart than a tenth of a node's mean share, and
  /// two slots. It never makes the zones of a group fewer.
  package func moves(
    _ table: SlotTable, before: [GroupID: Move], using random: inout some RandomNumberGenerator
  ) -> [GroupID: Move] {
    guard replicas > 1, candidates.count > replicas else { return [:] }
    let rows = table.groups(replicas: policy.replicas).compactMap { table[$0] }
    var draft = Draft(planner: self, groups: rows)
    var moves: [GroupID: Move] = [:]
    for (group, move) in before.sorted(by: { $0.key < $1.key }) {
      guard let row = table[group], draft.allows(move, of: row), draft.distance(of: move) ?? 0 > 0 else {
        continue
      }
      moves[group] = move
      draft.count(move)
    }
    let slack = draft.slack
    for row in rows.shuffled(using: &random).prefix(Self.mostRows) where moves[row.id] == nil {
      guard moves.count < rules.levelsAtOnce else { break }
      guard !isEmpty(row.id), let move = draft.move(of: row, slack: slack, using: &random) else { continue }
      moves[row.id] = move
      draft.count(move)
    }
    return moves
  }
}

extension GroupPlanner.Draft {
  /// How far apart nodes may stay, in slots of a node of mean capacity.
  fileprivate var slack: Double {
    max(2, Double(loads.reduce(0, +)) / Double(max(1, loads.count)) / 10)
  }

  /// From the fullest member that somebody much emptier can stand in for. That need not be the fullest one: its
  /// zone may have nobody else.
  fileprivate func move(
    of row: PlacementGroup, slack: Double, using random: inout some RandomNumberGenerator
  ) -> GroupPlanner.Move? {
    for giver in row.members.compactMap({ places[$0] }).sorted(by: { load($0) > load($1) }) {
      let from = planner.candidates[giver].node
      let others = row.members.filter { $0 != from }
      guard let taker = choose(joining: others, below: load(giver) - slack, using: &random) else { continue }
      let move = GroupPlanner.Move(from: from, to: planner.candidates[taker].node)
      if allows(move, of: row) { return move }
    }
    return nil
  }

  private func load(_ place: Int) -> Double { Double(loads[place]) / weights[place] }

  /// What the giver has more than the taker will have; `nil` when one of them may take part no longer.
  fileprivate func distance(of move: GroupPlanner.Move) -> Double? {
    guard let from = places[move.from], let to = places[move.to] else { return nil }
    return load(from) - (Double(loads[to]) + 1) / weights[to]
  }

  /// Every member has everything and answers, and the group's zones stay as many.
  fileprivate func allows(_ move: GroupPlanner.Move, of row: PlacementGroup) -> Bool {
    guard row.members.contains(move.from), !row.members.contains(move.to), places[move.to] != nil,
      row.slots.allSatisfy({ slot in
        slot.state == .full && slot.node.map { planner.inContact.contains($0) } ?? false
      })
    else { return false }
    let others = row.members.filter { $0 != move.from }.compactMap { planner.zones[$0] }
    func crowd(_ node: NodeID) -> Int { others.count { $0 == planner.zones[node] } }
    return crowd(move.to) <= crowd(move.from) && (!isStrict || crowd(move.to) == 0)
  }

  fileprivate mutating func count(_ move: GroupPlanner.Move) {
    if let from = places[move.from] { loads[from] -= 1 }
    if let to = places[move.to] { loads[to] += 1 }
  }
}
