import ArgumentParser

/// Catches a name that begins with a dash before it is taken for a bundle of short options: `-dash` holds an
/// `-h`, and would print the help and succeed.
enum DashedName {
  /// Every short option that some command has.
  private static let shortOptions = Set("rpflnyh")

  /// Complains and ends with the status of wrong options about what can only be a name. What follows `--` is
  /// none of an option's business.
  static func refuse(in arguments: some Sequence<String>) throws {
    for argument in arguments.prefix(while: { $0 != "--" }) {
      guard argument.count > 2, argument.first == "-", argument.dropFirst().first != "-" else { continue }
      guard argument.dropFirst().contains(where: { !shortOptions.contains($0) }) else { continue }
      Terminal.note(
        "dfsd: \(HumanText.name(argument)) is no option; a name that begins with a dash goes after --, as in: "
          + "dfsd put -- \(HumanText.name(argument)) /x")
      throw ExitStatus.usage.exitCode
    }
  }
}
