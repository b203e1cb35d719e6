/// One thing that is wrong with the settings: which key, why, and where it was written.
package struct SettingProblem: Sendable, Equatable, CustomStringConvertible {
  /// Empty when the file as a whole is meant.
  package var key: String
  package var reason: String
  /// `cluster.yaml:12`, the name of a variable, `command line`; `nil` where no single place is at fault.
  package var origin: String?

  package init(key: String, reason: String, origin: String?) {
    self.key = key
    self.reason = reason
    self.origin = origin
  }

  package var description: String {
    (key.isEmpty ? "" : "\(key): ") + reason + (origin.map { " (\($0))" } ?? "")
  }
}
