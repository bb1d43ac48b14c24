import { checkAttachment, readAttachments } from '../../network/attachment.js';
import { type Check, check } from './check.js';

/** What the plugins of each network find of what they made: addresses, routes, rules (CNI 1.0, "CHECK"). */
export async function checkPlugs(directory: string): Promise<Check[]> {
  const attachments = await readAttachments(directory);
  return Promise.all(
    attachments.map(async (attachment) => {
      const found = await checkAttachment(directory, attachment).then(
        () => 'as it was made',
        (error: Error) => error.message,
      );
      const { ifname, network } = attachment;
      return check(`network.${ifname}`, 'as it was made', found, `CNI CHECK of ${network.name}`);
    }),
  );
}
